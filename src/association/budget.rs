//! How much of a kind of message is taken in a second: what costs us or others more than it costs its sender is bounded.
#![forbid(unsafe_code)]

use super::counters::Refusal;
use crate::time::{LocalTime, Span};

/// One message each `interval`, and `burst` at once.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub interval: Span,
    pub burst: i64,
}

/// What is left of a [`Rate`]: the time at which all of it will be there again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget(Option<LocalTime>);

/// The budgets of one conversation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budgets {
    /// Announces of the clock that is listened to.
    pub announces: Budget,
    /// Requests of the receiver.
    pub receiver: Budget,
    /// Requests of anybody else under its address.
    pub others: Budget,
}

impl Budget {
    /// Takes one message that arrived at `at`: by its arrival and not by the reading, since those of a worker that was
    /// held up come all at once.
    pub fn take(&mut self, rate: Rate, at: LocalTime) -> Result<(), Refusal> {
        let burst = Span::from_nanos(rate.interval.nanos().saturating_mul(rate.burst));
        // A time from before a jump of the local clock is none.
        let full = self.0.filter(|full| full.since(at) <= burst.plus(burst)).map_or(at, |full| full.max(at));
        let full = full.plus(rate.interval);
        if full.since(at) > burst && !crate::planted::bug("no-budget") {
            return Err(Refusal::Flood);
        }
        self.0 = Some(full);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { interval: Span::from_millis(10), burst: 4 };

    fn at(ms: i64) -> LocalTime {
        LocalTime::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_burst_is_taken_and_then_one_each_interval() {
        let mut budget = Budget::default();
        for _ in 0..4 {
            assert_eq!(budget.take(RATE, at(0)), Ok(()));
        }
        assert_eq!(budget.take(RATE, at(0)), Err(Refusal::Flood));
        assert_eq!(budget.take(RATE, at(10)), Ok(()));
        assert_eq!(budget.take(RATE, at(10)), Err(Refusal::Flood));
        // Never more than a burst, however long nothing came.
        let taken = (0..100).filter(|_| budget.take(RATE, at(10_000)).is_ok()).count();
        assert_eq!(taken, 4);
    }

    #[test]
    fn a_second_of_flood_is_worth_a_burst_and_a_second() {
        let mut budget = Budget::default();
        let taken = (0..100_000).filter(|n| budget.take(RATE, at(n / 100)).is_ok()).count();
        assert_eq!(taken, 4 + 99);
    }

    #[test]
    fn no_clock_shuts_it_for_long() {
        let mut budget = Budget::default();
        for time in [i64::MAX, i64::MIN, 0, i64::MAX] {
            assert_eq!(budget.take(RATE, LocalTime::from_nanos(time)), Ok(()), "{time}");
        }
        assert_eq!(budget.take(RATE, at(0)), Ok(()));
    }
}
