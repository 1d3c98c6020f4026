//! Integration tests of the core: exhaustive tables, properties, references.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admission;
mod compact;
mod compartments;
mod compartments_events;
mod compartments_offers;
mod compartments_rows;
mod compartments_space;
mod compartments_tables;
mod compartments_texts;
mod compartments_values;
mod compartments_world;
mod counts;
mod documents;
mod freshness;
mod fuzz;
mod goldens;
mod goldens_compartments;
mod goldens_wire;
mod lifecycle;
mod lock;
mod model;
mod mutants;
mod mutants_catalogues;
mod reference;
mod rollout;
mod scripts;
mod simulation;
mod tables;
mod update;
mod vectors;
mod witness;
