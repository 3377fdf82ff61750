//! Schemas as they are written.

use std::collections::HashMap;

use serde_json::Value;
use weft_protocol::infer::Refusal;

use super::{NODES_MAX, Node, Schema};
use crate::refusal::{OrRefuse, invalid, unsupported};

/// Properties of an object: as many as a word has bits.
const PROPERTIES_MAX: usize = 64;
const DEPTH_MAX: usize = 64;
/// Says nothing about which values are admitted.
const SILENT: [&str; 11] = [
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
];

/// Adds what is written to a schema, and makes it the root.
pub(super) fn read(value: &Value, schema: Schema) -> Result<Schema, Refusal> {
    let mut reader = Reader {
        schema,
        whole: value,
        known: HashMap::new(),
    };
    reader.schema.root = reader.read(value, DEPTH_MAX)?;
    Ok(reader.schema)
}

struct Reader<'a> {
    schema: Schema,
    whole: &'a Value,
    /// Nodes of references, so that a schema may contain itself.
    known: HashMap<String, usize>,
}

impl<'a> Reader<'a> {
    fn read(&mut self, value: &'a Value, depth: usize) -> Result<usize, Refusal> {
        if depth == 0 || self.schema.nodes.len() > NODES_MAX {
            return Err(invalid("the schema is too large or too deep"));
        }
        let fields = match value {
            Value::Bool(true) => return Ok(0),
            Value::Object(fields) => fields,
            _ => return Err(invalid("a schema is an object")),
        };
        let get = |key: &str| fields.get(key);
        let kinds: Vec<&str> = match get("type") {
            None => Vec::new(),
            Some(Value::String(kind)) => vec![kind],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
            Some(_) => return Err(invalid("`type` is a name or a list of names")),
        };
        if let Some(place) = get("$ref") {
            only(fields, &["$ref"])?;
            return self.refer(place.as_str().unwrap_or_default(), depth);
        }
        if let Some(choices) = get("anyOf")
            .or_else(|| get("oneOf"))
            .or_else(|| get("allOf"))
        {
            only(fields, &["anyOf", "oneOf", "allOf", "type"])?;
            let choices = choices.as_array().filter(|choices| !choices.is_empty());
            let choices = choices.ok_or_else(|| invalid("`anyOf` is a list of schemas"))?;
            if get("allOf").is_some() && choices.len() > 1 {
                return Err(unsupported("`allOf` of several schemas is not supported"));
            }
            let nodes = choices.iter().map(|choice| self.read(choice, depth - 1));
            let nodes = nodes.collect::<Result<_, _>>()?;
            return Ok(self.schema.add(Node::OneOf(nodes)));
        }
        if let Some(values) = get("enum").and_then(Value::as_array) {
            only(fields, &["enum", "type"])?;
            let nodes = values.iter().map(|value| self.exact(value));
            let nodes = nodes.collect::<Result<_, _>>()?;
            return Ok(self.schema.add(Node::OneOf(nodes)));
        }
        if let Some(value) = get("const") {
            only(fields, &["const", "type"])?;
            return self.exact(value);
        }
        if let [kind] = kinds.as_slice() {
            return self.kind(kind, fields, depth);
        }
        if kinds.is_empty() {
            if get("properties").is_some() {
                return self.kind("object", fields, depth);
            }
            if get("items").is_some() {
                return self.kind("array", fields, depth);
            }
            only(fields, &["type"])?;
            return Ok(0);
        }
        let nodes = kinds.iter().map(|kind| {
            // What is said of one kind says nothing of the others.
            let own = fields.iter().filter(|(key, _)| belongs(key, kind));
            let own = own
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            self.kind_of(kind, &own, fields, depth)
        });
        let nodes = nodes.collect::<Result<_, _>>()?;
        Ok(self.schema.add(Node::OneOf(nodes)))
    }

    fn kind_of(
        &mut self,
        kind: &str,
        own: &serde_json::Map<String, Value>,
        fields: &'a serde_json::Map<String, Value>,
        depth: usize,
    ) -> Result<usize, Refusal> {
        if own.is_empty() {
            return self
                .schema
                .free(kind)
                .ok_or_else(|| invalid(format!("there is no type `{kind}`")));
        }
        self.kind(kind, fields, depth)
    }

    fn kind(
        &mut self,
        kind: &str,
        fields: &'a serde_json::Map<String, Value>,
        depth: usize,
    ) -> Result<usize, Refusal> {
        let number = |key: &str, usual: usize| {
            let value = fields.get(key).map(Value::as_u64);
            match value {
                None => Ok(usual),
                Some(Some(value)) => Ok(usize::try_from(value).unwrap_or(usize::MAX)),
                Some(None) => Err(invalid(format!("`{key}` is a whole number"))),
            }
        };
        match kind {
            "object" => {
                only(
                    fields,
                    &["type", "properties", "required", "additionalProperties"],
                )?;
                self.object(fields, depth)
            }
            "array" => {
                only(fields, &["type", "items", "minItems", "maxItems"])?;
                let items = fields.get("items").map(|items| self.read(items, depth - 1));
                let items = items.transpose()?.unwrap_or(0);
                let (least, most) = (number("minItems", 0)?, number("maxItems", usize::MAX)?);
                Ok(self.schema.add(Node::Array { items, least, most }))
            }
            "string" => {
                only(fields, &["type", "minLength", "maxLength"])?;
                let (least, most) = (number("minLength", 0)?, number("maxLength", usize::MAX)?);
                Ok(self.schema.add(Node::Str { least, most }))
            }
            other => {
                only(fields, &["type"])?;
                self.schema
                    .free(other)
                    .ok_or_else(|| invalid(format!("there is no type `{other}`")))
            }
        }
    }

    /// Where properties are named, no others are written: fewer than are admitted, and never wrong ones.
    fn object(
        &mut self,
        fields: &'a serde_json::Map<String, Value>,
        depth: usize,
    ) -> Result<usize, Refusal> {
        let mut properties = Vec::new();
        let mut names = Vec::new();
        let named = fields.get("properties").and_then(Value::as_object);
        for (name, value) in named.into_iter().flatten() {
            let node = self.read(value, depth - 1)?;
            let key = serde_json::to_vec(name).or_failed("a key")?;
            properties.push((key, node));
            names.push(name.as_str());
        }
        if properties.len() > PROPERTIES_MAX {
            return Err(unsupported(format!(
                "objects with more than {PROPERTIES_MAX} properties are not supported"
            )));
        }
        let mut required = 0;
        let told = fields.get("required").and_then(Value::as_array);
        for name in told.into_iter().flatten().filter_map(Value::as_str) {
            match names.iter().position(|other| *other == name) {
                Some(at) => required |= 1 << at,
                None => {
                    return Err(unsupported(format!(
                        "`required` names `{name}`, which `properties` does not"
                    )));
                }
            }
        }
        let others = match fields.get("additionalProperties") {
            _ if !properties.is_empty() => None,
            None => Some(0),
            Some(Value::Bool(false)) => None,
            Some(value) => Some(self.read(value, depth - 1)?),
        };
        Ok(self.schema.add(Node::Object {
            properties,
            required,
            others,
        }))
    }

    fn exact(&mut self, value: &Value) -> Result<usize, Refusal> {
        let text = serde_json::to_vec(value).or_failed("a value")?;
        Ok(self.schema.add(Node::Exact(text)))
    }

    fn refer(&mut self, place: &str, depth: usize) -> Result<usize, Refusal> {
        if let Some(node) = self.known.get(place) {
            return Ok(*node);
        }
        let pointer = place.strip_prefix('#').ok_or_else(|| {
            unsupported(format!("the reference `{place}` leads out of the schema"))
        })?;
        let value = self
            .whole
            .pointer(pointer)
            .ok_or_else(|| invalid(format!("the reference `{place}` leads nowhere")))?;
        // Known before it is read: it may lead to itself.
        let node = self.schema.add(Node::OneOf(Vec::new()));
        self.known.insert(place.to_owned(), node);
        let target = self.read(value, depth - 1)?;
        self.schema.nodes[node] = Node::OneOf(vec![target]);
        Ok(node)
    }
}

/// Whether a keyword speaks of a kind of value.
fn belongs(key: &str, kind: &str) -> bool {
    match kind {
        "object" => matches!(key, "properties" | "required" | "additionalProperties"),
        "array" => matches!(key, "items" | "minItems" | "maxItems"),
        "string" => matches!(key, "minLength" | "maxLength"),
        _ => false,
    }
}

fn only(fields: &serde_json::Map<String, Value>, known: &[&str]) -> Result<(), Refusal> {
    match fields
        .keys()
        .find(|key| !known.contains(&key.as_str()) && !SILENT.contains(&key.as_str()))
    {
        None => Ok(()),
        Some(key) => Err(unsupported(format!(
            "the keyword `{key}` of JSON schemas is not supported here"
        ))),
    }
}
