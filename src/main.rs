//! The `lychgate` program; everything is in the library.

/// Small answers cost less CPU with it than with the system's allocator (`docs/performance.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    lychgate::cli::main()
}
