//! The `blipmq` binary: the broker and its command line.
//!
//! | to learn | read |
//! |---|---|
//! | what the commands are | `cli` |
//! | how the broker meets sockets | `server` |

mod cli;
mod server;

// Messages are allocated on one core and freed on another, which mimalloc does well.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
