//! What the correctionField of Delay_Resp means, as far as the responses have shown.
#![forbid(unsafe_code)]

/// Responses in a row that bear their own turnaround, each of them told as closely as [`Signs::weigh`] asks, before that
/// is what the correction is: under "plus" one in ten to thirty looks so by chance, and one in four that cannot be one
/// comes in between.
const TURNAROUNDS: u8 = 6;

/// Responses in a row that the proven reading does not fit, and another one does, before it is proven no more. A small
/// step of the clock puts one or two there before it is seen as such.
const CONTRADICTIONS: u8 = 3;

/// What a Delay_Resp's correctionField means. Apple adds it to receiveTimestamp, IEEE 1588 subtracts it, and some
/// receivers send the true time and a correction on top (field guide 1.3, 1.13, 2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorrectionSign {
    /// T4 = receiveTimestamp + correctionField.
    Plus,
    /// T4 = receiveTimestamp - correctionField.
    Minus,
    /// T4 = receiveTimestamp.
    Unused,
}

use CorrectionSign::{Minus, Plus, Unused};

impl CorrectionSign {
    /// In the order in which they are tried (field guide 1.13).
    pub const ALL: [Self; 3] = [Plus, Minus, Unused];
}

/// How the readings of one response stand, each in the order of [`CorrectionSign::ALL`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Weighed {
    /// The readings that lie where the request can have arrived, to the line's bound.
    pub fits: [bool; 3],
    /// The same to twice the bound: what does not even lie there is denied.
    pub nearly: [bool; 3],
}

/// What is known of the meaning.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signs {
    proven: Option<CorrectionSign>,
    /// The readings that corrections were given, a bit for each.
    given: u8,
    misread: bool,
    turnarounds: u8,
    contradictions: u8,
}

impl Signs {
    pub const fn proven(&self) -> Option<CorrectionSign> {
        self.proven
    }

    /// Whether it has just been found that earlier responses were read by another sign than they should have been.
    pub fn take_misread(&mut self) -> bool {
        std::mem::take(&mut self.misread)
    }

    /// A correction was read by `sign`.
    pub const fn give(&mut self, sign: CorrectionSign) {
        self.given |= 1 << sign as u8;
    }

    /// Learns from a response whose correction moves its time by more than the line's bound.
    pub fn weigh(&mut self, seen: Weighed) {
        // One reading is right: so it is the one that fits, where each of the others is denied.
        let only = |sign: CorrectionSign| {
            let others = CorrectionSign::ALL.iter().filter(|other| **other != sign);
            seen.fits[sign as usize] && !others.into_iter().any(|other| seen.nearly[*other as usize])
        };
        match self.proven {
            _ if only(Plus) => self.prove(Plus),
            _ if only(Minus) => self.prove(Minus),
            // Not at once of a receiver that was proven to mean something.
            None if only(Unused) => self.prove(Unused),
            Some(sign) if !seen.nearly[sign as usize] && seen.fits.contains(&true) => {
                self.contradictions += 1;
                if self.contradictions >= CONTRADICTIONS {
                    self.proven = None;
                    self.contradictions = 0;
                    self.misread |= std::mem::take(&mut self.given) != 0;
                }
            }
            _ => self.contradictions = 0,
        }
    }

    /// Learns from any response whether its correction is the receiver's own turnaround (field guide 2.7).
    pub fn turnaround(&mut self, is: Option<bool>) {
        match is {
            Some(true) => self.turnarounds = self.turnarounds.saturating_add(1),
            Some(false) => self.turnarounds = 0,
            None => {}
        }
        if self.turnarounds >= TURNAROUNDS && self.proven.is_none() {
            self.prove(Unused);
        }
    }

    fn prove(&mut self, sign: CorrectionSign) {
        self.proven = Some(sign);
        self.contradictions = 0;
        // However they came by their reading: as good as proven, before, is no better than assumed.
        self.misread |= std::mem::take(&mut self.given) & !(1 << sign as u8) != 0;
    }
}
