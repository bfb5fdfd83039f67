//! (being laid out)

pub mod collective;
pub mod datatype;
pub mod op;
