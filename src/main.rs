//! The program. All code is in [`blabbermouth::cli`].

/// With the system allocator, threads contend when the mocked provider answers in the same process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    blabbermouth::cli::main().into()
}
