//! Slow, plain references written from the text of the specification, in another style than the
//! code they judge.

pub mod compartments;
pub mod compartments_text;
pub mod lifecycle;
pub mod situations;
