//! Builds the library's files for loom, with the planted bugs compiled in (all off, unless PTPBMCA_PLANTED names one): one
//! build serves the models and their controls.

fn main() {
    println!("cargo::rustc-cfg=loom");
    println!("cargo::rustc-cfg=planted");
    println!("cargo::rerun-if-changed=build.rs");
}
