//! What ours has to reach on each class of link, and the names of what is measured.
#![forbid(unsafe_code)]

use super::score::Score;
use crate::traces::Class;

/// The letter under which a class is known where it is one of the public scenarios.
pub const fn letter(class: Class) -> Option<char> {
    Some(match class {
        Class::Wired => 'a',
        Class::Wifi => 'b',
        Class::PowerSave => 'c',
        Class::Congestion => 'd',
        Class::Restart => 'e',
        Class::Handover => 'f',
        Class::Gap => 'g',
        Class::RateStep => 'h',
        Class::TwoWay => 'i',
        Class::HostStalls => 'k',
        Class::LostFollowUps => 'l',
        _ => return None,
    })
}

/// One thing that is measured of ours and may have a limit.
#[derive(Clone, Copy, Debug)]
pub struct Must {
    /// What, as a table's heading.
    pub title: &'static str,
    /// The value; infinite where it was never reached.
    pub of: fn(&Score) -> Option<f64>,
    /// The limit on a class of link.
    pub limit: fn(Class) -> Option<f64>,
    /// Whether the limit is the least rather than the most.
    pub at_least: bool,
}

impl Must {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 16] = [
        Self::free("now p50", |s| s.now.map(|q| q.p50)),
        Self::free("now p99", |s| s.now.map(|q| q.p99)),
        Self::free("now max", |s| s.now.map(|q| q.max)),
        Self::free("+1 s p50", |s| s.ahead.map(|q| q.p50)),
        Self::most("+1 s p99", |s| s.ahead.map(|q| q.p99), ahead),
        Self::free("+1 s max", |s| s.ahead.map(|q| q.max)),
        Self::most("jump", |s| s.epoch_jump, |_| Some(NO_JUMP)),
        Self::most("slew ppm", |s| s.slew, |c| on_public(c, 50.0, 100.0)),
        Self::most("to 1 ms, s", |s| s.within_1ms, |c| on_public(c, 1.0, 15.0)),
        Self::most("to 100 us, s", |s| s.within_100us, |c| on_public(c, 20.0, 150.0)),
        Self::most("after gap", |s| s.holdover, |_| Some(100.0)),
        Self::most("false steps", |s| Some(s.false_steps as f64), |_| Some(0.0)),
        Self::most("missed", |s| Some(s.missed_steps as f64), |_| Some(0.0)),
        Self::most("found, s", |s| s.latency, found),
        Self {
            at_least: true,
            ..Self::most("in bound %", |s| s.bound_kept.map(|k| 100.0 * k), |_| Some(99.9))
        },
        Self::most("bound / p99", |s| s.bound_ratio, calm),
    ];

    const fn free(title: &'static str, of: fn(&Score) -> Option<f64>) -> Self {
        Self::most(title, of, |_| None)
    }

    const fn most(
        title: &'static str,
        of: fn(&Score) -> Option<f64>,
        limit: fn(Class) -> Option<f64>,
    ) -> Self {
        Self { title, of, limit, at_least: false }
    }

    /// Whether a value breaks the limit on a class.
    pub fn is_missed(&self, class: Class, value: f64) -> bool {
        (self.limit)(class).is_some_and(|limit| if self.at_least { value < limit } else { value > limit })
    }

    /// What a score misses.
    pub fn missed(class: Class, score: &Score) -> Vec<String> {
        let missed = |must: &Self| {
            let value = (must.of)(score)?;
            let limit = (must.limit)(class)?;
            must.is_missed(class, value).then(|| format!("{} is {value:.3}, must {limit}", must.title))
        };
        Self::ALL.iter().filter_map(missed).collect()
    }
}

/// What counts as no jump, us: nanoseconds are rounded.
const NO_JUMP: f64 = 0.01;

/// Error one second ahead, 99 %, us.
fn ahead(class: Class) -> Option<f64> {
    Some(match class {
        Class::Wired => 6.0,
        Class::Wifi => 45.0,
        Class::PowerSave => 1_500.0,
        Class::Congestion | Class::Gap => 80.0,
        Class::Restart | Class::Handover => 90.0,
        Class::RateStep => 220.0,
        Class::TwoWay => 65.0,
        Class::HostStalls => 30.0,
        Class::LostFollowUps => 60.0,
        _ => return None,
    })
}

/// A limit on the public scenarios, of which power save has its own.
fn on_public(class: Class, usual: f64, power_save: f64) -> Option<f64> {
    letter(class).map(|_| if class == Class::PowerSave { power_save } else { usual })
}

/// Time in which a step is found, s: nothing can be early, so a step ahead shows at once.
fn found(class: Class) -> Option<f64> {
    match class {
        Class::Handover | Class::Restart => Some(0.5),
        // Three samples have to come, each held for a beacon (102 ms), and one of twenty is lost.
        Class::PowerSaveHandover => Some(0.75),
        Class::StepBack => Some(3.0),
        _ => None,
    }
}

/// The bound against the error where the link is calm.
fn calm(class: Class) -> Option<f64> {
    matches!(class, Class::Wired | Class::Wifi).then_some(10.0)
}

#[cfg(test)]
mod tests {
    use super::super::score::Quantiles;
    use super::*;

    #[test]
    fn a_limit_is_on_its_own_class() {
        let ahead = Some(Quantiles { p50: 1.0, p99: 50.0, max: 100.0 });
        let score = Score { ahead, false_steps: 1, bound_kept: Some(0.998), ..Score::default() };
        let missed = |class| Must::missed(class, &score);
        assert_eq!(missed(Class::Wired).len(), 3, "{:?}", missed(Class::Wired));
        assert_eq!(
            missed(Class::LostFollowUps),
            ["false steps is 1.000, must 0", "in bound % is 99.800, must 99.9"]
        );
        assert_eq!(missed(Class::Roaming).len(), 2);
    }
}
