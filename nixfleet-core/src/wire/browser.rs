//! The frames between server and browser (spec 04).
