//! Implementations of `StableStorage` (the placement half) and `VolatileStorage`.

mod disk;
mod encode;
mod mirror;
mod volatile_memory_of_self;

pub use disk::Disk;
pub use volatile_memory_of_self::VolatileMemoryOfSelf;
