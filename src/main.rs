//! The program: everything is in [`blabbermouth::cli`].

/// With the allocator of the system, threads wait for each other where the mocked provider answers in the process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    blabbermouth::cli::main().into()
}
