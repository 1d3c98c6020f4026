//! End-to-end tests: the real binaries, real git, real SQLite, real Chromium.
