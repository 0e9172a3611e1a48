//! The threads that compute.

/// Makes this thread one of the pool's. One that is none hands over each of a step's thousands of pieces of work, sleeps, and is woken when
/// it is done, which takes a twentieth of a step's time.
///
/// It must not wait for threads that need the pool, unless it works for the pool meanwhile.
pub fn join() {
    // Where a thread cannot be started, the pool is made at its first use, as for a thread that is none of its own.
    let _ = rayon::ThreadPoolBuilder::new()
        .use_current_thread()
        .build_global();
}
