//! Tests of the server adapters with real SQLite, real git and real sockets.
