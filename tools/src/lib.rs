//! What the replay example and the benches share.
