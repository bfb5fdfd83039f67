#![forbid(unsafe_code)]
//! (being laid out)
