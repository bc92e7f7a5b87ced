//! What a crash may leave behind.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Secrets are in memory while we run, so a crash must not write that memory
/// to a disk. The limit holds for files; a program that takes cores from the
/// kernel (`core_pattern` with a `|`) gets them whatever the limit says, but
/// none of a process that is not dumpable (core(5)). Such a process cannot be
/// looked into by others of its user either.
pub(super) fn leave_no_core() {
    // The unit allows no change of limits and has set this one itself.
    setrlimit(Resource::RLIMIT_CORE, 0, 0).ok();
    // It fails only for values that the kernel does not know.
    prctl::set_dumpable(false).ok();
}
