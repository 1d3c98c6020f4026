//! Tests of the agent adapters with real processes and real git.
