//! The session that the command line asks for, how it is ended, and the time.
#![forbid(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use ptpbmca::Config;
use ptpbmca_sim::edge;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::arguments::SessionArguments;

/// A signal is noticed within this time.
pub const NOTICE: Duration = Duration::from_millis(100);

/// The library's configuration for these arguments.
pub fn config(arguments: &SessionArguments) -> Config {
    let (event_port, general_port) = match arguments.ports[..] {
        [event, general] => (event, general),
        // clap takes two or none.
        _ => (ptpbmca::EVENT_PORT, ptpbmca::GENERAL_PORT),
    };
    Config {
        role: arguments.role.into(),
        local_clock: arguments.clock.into(),
        priority1: arguments.priority1,
        domain: arguments.domain,
        major_sdo_id: arguments.sdo,
        clock_id: arguments.clock_id.unwrap_or(0),
        local_address: arguments.local.clone(),
        event_port,
        general_port,
        announce_timeout_ms: arguments.announce_timeout,
        // Waiting for the role is to be seen, and to be ended by Ctrl-C.
        ready_timeout_ms: 0,
        ..Config::default()
    }
}

/// Whether SIGINT or SIGTERM has come.
#[derive(Clone, Debug)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on the signals end nothing by themselves.
    pub fn on_signals() -> io::Result<Self> {
        let came = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&came))?;
        }
        Ok(Self(came))
    }

    /// Whether one has come.
    pub fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits until `at` of [`Watch`], or a signal; tells whether to go on.
    pub fn wait_until(&self, watch: &Watch, at: Duration) -> bool {
        while !self.came() {
            let left = at.saturating_sub(watch.elapsed());
            if left.is_zero() {
                return true;
            }
            std::thread::park_timeout(left.min(NOTICE));
        }
        false
    }
}

/// Time since the start.
#[derive(Clone, Copy, Debug)]
pub struct Watch(i64);

impl Watch {
    /// Starts it.
    pub fn start() -> Self {
        Self(edge::monotonic_ns())
    }

    /// How long ago that was.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(u64::try_from(edge::monotonic_ns() - self.0).unwrap_or(0))
    }
}
