//! Keeps the library loaded once its worker runs: a host may unload it while the worker still does.

/// The system's linker has marked the library so (build.rs).
#[cfg(not(any(windows, target_vendor = "apple")))]
pub fn stay_loaded() {}

/// Takes a reference to the module of this very function that is never given back.
#[cfg(windows)]
pub fn stay_loaded() {
    use windows_sys::Win32::System::LibraryLoader::{
        GetModuleHandleExW, GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN,
    };
    let flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN;
    let mut module = std::ptr::null_mut();
    // SAFETY: with these flags the name is an address inside the module; the handle is live to fill.
    if unsafe { GetModuleHandleExW(flags, stay_loaded as *const u16, &raw mut module) } == 0 {
        log::debug!("the library may be unloaded: {}", std::io::Error::last_os_error());
    }
}

/// Opens the image of this very function once more, never to be closed.
#[cfg(target_vendor = "apple")]
pub fn stay_loaded() {
    // SAFETY: a Dl_info of zeros is valid.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: an address of this image, and a live struct to fill.
    if unsafe { libc::dladdr(stay_loaded as *const libc::c_void, &raw mut info) } == 0
        || info.dli_fname.is_null()
    {
        return;
    }
    // SAFETY: the image's path, a string that ends with a zero; it is loaded already, so nothing of it runs now.
    unsafe { libc::dlopen(info.dli_fname, libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE) };
}
