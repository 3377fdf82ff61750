//! JSON schemas: the common part of them. What is not understood is refused by name.

mod reader;

use std::collections::BTreeSet;

use serde_json::Value;
use weft_protocol::infer::Refusal;

use crate::refusal::invalid;

/// Kinds of values in a schema at most.
const NODES_MAX: usize = 4_096;
/// Choices that are looked at while those within each other become one.
const CHOICES_MAX: usize = 1 << 20;

/// What a value may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Any,
    /// None of these is a choice itself, once the schema is read.
    OneOf(Vec<usize>),
    /// These bytes.
    Exact(Vec<u8>),
    Str {
        least: usize,
        most: usize,
    },
    Number {
        whole: bool,
    },
    Object {
        /// Keys with their quotes.
        properties: Vec<(Vec<u8>, usize)>,
        /// One bit for each property.
        required: u64,
        /// What other keys may hold.
        others: Option<usize>,
    },
    Array {
        items: usize,
        least: usize,
        most: usize,
    },
}

/// Kinds of values that refer to each other.
#[derive(Debug)]
pub(super) struct Schema {
    nodes: Vec<Node>,
    root: usize,
    kinds: Vec<usize>,
}

impl Schema {
    fn empty() -> Self {
        let mut schema = Self {
            nodes: vec![Node::Any],
            root: 0,
            kinds: Vec::new(),
        };
        schema.kinds = ["object", "array", "string", "number", "boolean", "null"]
            .iter()
            .filter_map(|kind| schema.free(kind))
            .collect();
        schema
    }

    /// Any object.
    pub(super) fn any_object() -> Self {
        let mut schema = Self::empty();
        schema.root = schema.kinds[0];
        schema
    }

    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| invalid(format!("the schema is no JSON: {error}")))?;
        reader::read(&value, Self::empty())?.flat()
    }

    pub(super) fn root(&self) -> usize {
        self.root
    }

    pub(super) fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    /// One node for each kind of value.
    pub(super) fn all_kinds(&self) -> &[usize] {
        &self.kinds
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// A node for any value of a kind.
    fn free(&mut self, kind: &str) -> Option<usize> {
        let node = match kind {
            "object" => Node::Object {
                properties: Vec::new(),
                required: 0,
                others: Some(0),
            },
            "array" => Node::Array {
                items: 0,
                least: 0,
                most: usize::MAX,
            },
            "string" => Node::Str {
                least: 0,
                most: usize::MAX,
            },
            "number" => Node::Number { whole: false },
            "integer" => Node::Number { whole: true },
            "null" => Node::Exact(b"null".to_vec()),
            "boolean" => {
                let both = ["true", "false"].map(|word| self.add(Node::Exact(word.into())));
                Node::OneOf(both.to_vec())
            }
            _ => return None,
        };
        Some(self.add(node))
    }

    /// With all choices within choices as one. What a choice leads to is looked up for every byte of an answer, and a
    /// few that refer to each other many times over would be more ways than can be gone.
    fn flat(mut self) -> Result<Self, Refusal> {
        let too_many = || invalid("the schema has too many choices");
        let mut work = CHOICES_MAX;
        let mut places = vec![Place::New; self.nodes.len()];
        for start in 0..self.nodes.len() {
            let mut open = vec![start];
            while let Some(node) = open.last().copied() {
                let Node::OneOf(choices) = &self.nodes[node] else {
                    places[node] = Place::Done;
                    open.pop();
                    continue;
                };
                work = work.checked_sub(1 + choices.len()).ok_or_else(too_many)?;
                match places[node] {
                    Place::New => {
                        places[node] = Place::Open;
                        for choice in choices {
                            match places[*choice] {
                                Place::New => open.push(*choice),
                                Place::Open => {
                                    return Err(invalid("the schema refers to nothing but itself"));
                                }
                                Place::Done => {}
                            }
                        }
                    }
                    Place::Open => {
                        let mut flat = BTreeSet::new();
                        for choice in choices {
                            match &self.nodes[*choice] {
                                Node::OneOf(inner) => flat.extend(inner),
                                _ => {
                                    flat.insert(*choice);
                                }
                            }
                        }
                        work = work.checked_sub(flat.len()).ok_or_else(too_many)?;
                        self.nodes[node] = Node::OneOf(flat.into_iter().collect());
                        places[node] = Place::Done;
                        open.pop();
                    }
                    Place::Done => {
                        open.pop();
                    }
                }
            }
        }
        Ok(self)
    }
}

/// How far the choices of a node have been followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    New,
    Open,
    Done,
}
