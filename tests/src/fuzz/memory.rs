//! How much memory a running program holds. Knows only what the kernel tells.

use std::fs;

/// Resident bytes of a program by its id; `None` when it is not running.
#[must_use]
pub fn resident_bytes(id: u32) -> Option<u64> {
    bytes_of(id, "VmRSS:")
}

/// The most resident bytes that it ever had, or had since `forget_peak`.
#[must_use]
pub fn peak_bytes(id: u32) -> Option<u64> {
    bytes_of(id, "VmHWM:")
}

/// From now on the peak is that from now on. Where the kernel does not let us, it stays that of
/// all its life: no test gets easier by that.
pub fn forget_peak(id: u32) {
    let _ = fs::write(format!("/proc/{id}/clear_refs"), "5");
}

fn bytes_of(id: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::{forget_peak, peak_bytes, resident_bytes};

    #[test]
    fn this_program_has_some_memory_and_no_program_has_none() {
        assert!(resident_bytes(std::process::id()).is_some_and(|bytes| bytes > 100_000));
        assert_eq!(resident_bytes(u32::MAX), None);
    }

    #[test]
    fn what_was_held_for_a_moment_is_in_the_peak() {
        let id = std::process::id();
        forget_peak(id);
        let before = peak_bytes(id).expect("it runs");
        drop(std::hint::black_box(vec![1_u8; 64 << 20]));
        assert!(peak_bytes(id).expect("it runs") > before + (32 << 20));
    }
}
