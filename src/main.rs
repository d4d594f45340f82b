//! The `blipmq` binary: the broker and its command line.
//!
//! | to learn | read |
//! |---|---|
//! | which commands exist and what each does | `cli` |
//! | how the broker is connected to sockets | `server` |
//! | how text of clients is shown | `printable` |

mod cli;
mod printable;
mod server;

// Messages are allocated on one core and freed on another: a pattern that mimalloc handles well.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
