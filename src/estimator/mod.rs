//! Measurements in, a line out.
#![forbid(unsafe_code)]
