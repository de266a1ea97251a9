//! New UUIDs, from the operating system's random source.

use uuid::Uuid;

/// A new random UUID (version 4).
pub fn new() -> Uuid {
    Uuid::new_v4()
}
