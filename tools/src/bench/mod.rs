//! The accuracy bench: every estimator on every class of link, judged by the same scores.
//!
//! `pairing` makes measurements of a trace's rows, `contender` feeds them to an estimator and records what it
//! publishes, `score` judges that against the truth, `limits` is what ours must reach, `sweep` runs it all over seeds,
//! `tables` and `plot` show it.
#![forbid(unsafe_code)]

mod contender;
mod limits;
mod pairing;
mod plot;
mod score;
mod sweep;
mod tables;

pub use contender::{contenders, run, Contender, Estimate, OURS};
pub use limits::{letter, Must};
pub use pairing::{readings, Frame, Pairing, Reading};
pub use plot::{draw, Figure};
pub use score::{score, Quantiles, Score};
pub use sweep::{Median, Sweep};
pub use tables::{costs, details, summary, Cost};
