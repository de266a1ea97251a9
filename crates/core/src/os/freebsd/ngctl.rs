//! ngctl(8): whether a node of netgraph is there.

use crate::cmd::Cmd;

/// The program.
pub const TOOL: &str = "ngctl";

/// The question for one node, by its address: its exit status 0 is a yes.
pub fn query(node: &str) -> Cmd {
    Cmd::new(TOOL, ["info", node])
}
