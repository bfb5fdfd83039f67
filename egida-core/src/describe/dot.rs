//! The recorded call graph for graphviz: modules as nodes, calls as edges labelled with the events that made them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::{Description, EventRecord};

impl Description {
    /// The call graph in graphviz's language.
    #[must_use]
    pub fn to_dot(&self) -> String {
        let mut implementations: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for module in &self.modules {
            implementations.entry(&module.slot).or_default().insert(&module.implementation);
        }
        // Edges in the order in which they were first seen: a reader finds the events' order again.
        let mut edges: Vec<(&str, &str, Vec<&str>)> = Vec::new();
        for event in &self.events {
            for (caller, callee) in calls(event) {
                match edges.iter_mut().find(|edge| (edge.0, edge.1) == (caller, callee)) {
                    Some((_, _, events)) if events.contains(&event.event.as_str()) => {}
                    Some((_, _, events)) => events.push(&event.event),
                    None => edges.push((caller, callee, vec![&event.event])),
                }
            }
        }
        let nodes: BTreeSet<&str> = edges.iter().flat_map(|edge| [edge.0, edge.1]).collect();

        let mut dot =
            format!("digraph {} {{\n    rankdir = TB;\n    node [shape = box];\n", quoted(&self.protocol));
        for node in nodes {
            let mut label = node.to_owned();
            for implementation in implementations.get(node).into_iter().flatten() {
                label.push('\n');
                label.push_str(implementation);
            }
            let _ = writeln!(dot, "    {} [label = {}];", quoted(node), quoted(&label));
        }
        for (caller, callee, events) in edges {
            let label = quoted(&events.join("\n"));
            let _ = writeln!(dot, "    {} -> {} [label = {label}];", quoted(caller), quoted(callee));
        }
        dot.push_str("}\n");
        dot
    }
}

/// Caller and callee of each call; whoever raised the event calls the outermost.
fn calls(event: &EventRecord) -> Vec<(&str, &str)> {
    let mut enclosing: Vec<&str> = Vec::new();
    let mut pairs = Vec::new();
    for call in &event.calls {
        enclosing.truncate(call.depth as usize);
        pairs.push((enclosing.last().copied().unwrap_or(&event.raised_by), call.module.as_str()));
        enclosing.push(&call.module);
    }
    pairs
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
