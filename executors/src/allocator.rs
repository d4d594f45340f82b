//! What a core asks of the allocator of its process, if that is mimalloc.

// For its library, which has what is declared below.
use libmimalloc_sys as _;

unsafe extern "C" {
    fn mi_collect(force: bool);
}

/// Gives memory that the calling thread's heap has free, also what other threads have freed of it, back to
/// the operating system.
pub fn give_back() {
    // SAFETY: the function takes any value, may be called at any time by any thread, and touches only
    // memory that the allocator has and nobody uses.
    unsafe { mi_collect(true) };
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_thread_that_never_used_the_allocator_may_give_back_too() {
        super::give_back();
        std::thread::spawn(super::give_back).join().expect("it gives back nothing");
    }
}
