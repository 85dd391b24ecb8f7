//! Structs that grow: the caller's version may be older or newer than ours. What both sides know is copied, the rest keeps
//! our defaults, and what only the caller knows must be zero.

use std::ffi::c_void;
use std::mem::{align_of, offset_of, size_of};

use super::types::ptpbmca_config;

/// Size in bytes of the config's first version, whose last field is user_data; there is no smaller one. Fields that come
/// later do not move it.
pub const FIRST_CONFIG_SIZE: usize = offset_of!(ptpbmca_config, user_data) + size_of::<*mut c_void>();
// What programs on 64-bit systems were compiled with.
const _: () = assert!(size_of::<usize>() != 8 || FIRST_CONFIG_SIZE == 88);

/// Largest struct_size believed, in bytes: a caller's version that is newer by far more than it can be.
const MAX_STRUCT_SIZE: usize = 1_024;

/// Whether some version of the config has this size in bytes: the first one, or a later one, padded as it.
pub fn is_config_size(struct_size: u32) -> bool {
    let size = struct_size as usize;
    (size >= FIRST_CONFIG_SIZE || crate::planted::bug("config-size-unchecked"))
        && size <= MAX_STRUCT_SIZE
        && size.is_multiple_of(align_of::<ptpbmca_config>())
}

/// Copies a caller's struct of `size` bytes over `ours`, the smaller of both sizes. False, and nothing is copied, if a byte
/// beyond ours is not zero: the caller asks for something that we do not know.
///
/// # Safety
/// `theirs` is valid for reading `size` bytes, and what stands there is a `T` as far as it reaches.
pub unsafe fn read_over<T: Copy>(theirs: *const u8, size: usize, ours: &mut T) -> bool {
    let known = size.min(size_of::<T>());
    for beyond in known..size {
        // SAFETY: within `size` bytes, the caller's promise.
        if unsafe { *theirs.add(beyond) } != 0 && !crate::planted::bug("config-unknown-field") {
            return false;
        }
    }
    // SAFETY: `known` bytes are within both, and ours is ours alone.
    unsafe { std::ptr::copy_nonoverlapping(theirs, std::ptr::from_mut(ours).cast::<u8>(), known) };
    true
}

/// Writes `ours` into a caller's struct of `size` bytes, the smaller of both sizes; what is beyond ours becomes zero.
///
/// # Safety
/// `theirs` is valid for writing `size` bytes.
pub unsafe fn write_over<T: Copy>(theirs: *mut u8, size: usize, ours: &T) {
    let known = size.min(size_of::<T>());
    // SAFETY: `known` bytes are within both, and a copy of ours is nobody else's.
    unsafe { std::ptr::copy_nonoverlapping(std::ptr::from_ref(ours).cast::<u8>(), theirs, known) };
    // SAFETY: within `size` bytes, the caller's promise.
    unsafe { theirs.add(known).write_bytes(0, size - known) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A struct of the first version, and one that has grown.
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    struct Old {
        struct_size: u32,
        role: u32,
    }
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    struct New {
        struct_size: u32,
        role: u32,
        timeout: u64,
    }
    const DEFAULT: New = New { struct_size: 16, role: 0, timeout: 5 };

    /// Reads all of `theirs` over `ours`.
    fn read<A: Copy, B: Copy>(theirs: &A, mut ours: B) -> Option<B> {
        // SAFETY: `theirs` is as long as its type, and both are integers.
        unsafe { read_over(std::ptr::from_ref(theirs).cast(), size_of::<A>(), &mut ours) }.then_some(ours)
    }

    #[test]
    fn an_older_caller_keeps_the_defaults_it_does_not_know() {
        let read = read(&Old { struct_size: 8, role: 2 }, DEFAULT);
        assert_eq!(read, Some(New { struct_size: 8, role: 2, timeout: 5 }));
    }

    #[test]
    fn a_newer_caller_is_understood_as_long_as_it_asks_for_nothing_new() {
        let ours = Old { struct_size: 8, role: 0 };
        let quiet = New { struct_size: 16, role: 2, timeout: 0 };
        assert_eq!(read(&quiet, ours), Some(Old { struct_size: 16, role: 2 }));
        // Whichever of the bytes it is.
        for timeout in [1, 1 << 63] {
            assert_eq!(read(&New { timeout, ..quiet }, ours), None);
        }
    }

    #[test]
    fn equal_versions_copy_all() {
        let theirs = New { struct_size: 16, role: 1, timeout: 9 };
        assert_eq!(read(&theirs, DEFAULT), Some(theirs));
    }

    #[test]
    fn what_is_written_ends_where_the_callers_struct_ends() {
        let mut out = [0xAA_u8; 24];
        // SAFETY: 8 of 24 bytes.
        unsafe { write_over(out.as_mut_ptr(), 8, &New { role: 0x0101_0101, ..DEFAULT }) };
        assert_eq!(out[4..9], [1, 1, 1, 1, 0xAA]);
        // SAFETY: all of them.
        unsafe { write_over(out.as_mut_ptr(), 24, &New { timeout: u64::MAX, ..DEFAULT }) };
        assert_eq!(out[8..], [[0xFF; 8], [0; 8]].concat());
    }

    #[test]
    fn the_sizes_of_configs_begin_with_the_first_versions() {
        let first = FIRST_CONFIG_SIZE as u32;
        let align = align_of::<ptpbmca_config>() as u32;
        assert!(is_config_size(first) && is_config_size(first + align) && is_config_size(1_024));
        for none in [0, 4, first - align, first + 1, 1_024 + align, u32::MAX] {
            assert!(!is_config_size(none), "{none}");
        }
    }
}
