//! Gives every plain `cargo build` of the shared library its soname and keeps it mapped for the life of the process.

#[allow(clippy::disallowed_methods)] // A build script is told about its target through the environment.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    match os.as_str() {
        // The 0 in the soname is the ABI number. nodelete: the worker thread may outlive a dlclose.
        "linux" | "android" | "freebsd" | "netbsd" | "openbsd" | "dragonfly" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libptpbmca.so.0");
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        }
        "macos" | "ios" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libptpbmca.0.dylib");
        }
        _ => {}
    }
}
