//! What the fuzz targets share: edges and bytes counted while an input is tried, and a cursor that makes sense of inputs.

pub mod cursor;
pub mod edges;
pub mod memory;
pub mod network;
