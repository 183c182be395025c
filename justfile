# Tests of all crates.
test *ARGS:
    cargo test {{ARGS}}

# What CI runs, on a clean clone.
ci:
    .ci/run

# The example of the blog post, offline.
demo:
    cargo run --release -- demo

# Format and lint.
fmt:
    cargo fmt
    cargo clippy --workspace --all-targets -- -D warnings
