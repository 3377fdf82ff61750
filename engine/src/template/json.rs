//! JSON into values and back.

use std::{collections::HashMap, fmt, rc::Rc, sync::Arc};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{
    meter::{Fault, Writer, fail},
    show::float,
    value::{List, Map, Value},
};

/// A value whose keys keep their order.
#[derive(Debug)]
pub(super) struct Ordered(pub(super) Value);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Ordered;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Ordered, E> {
        Ok(Ordered(Value::Bool(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Ordered, E> {
        Ok(Ordered(Value::Int(value.into())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Ordered, E> {
        Ok(Ordered(Value::Int(value.into())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Ordered, E> {
        Ok(Ordered(Value::Float(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Ordered, E> {
        Ok(Ordered(Value::literal(value)))
    }

    fn visit_unit<E: Error>(self) -> Result<Ordered, E> {
        Ok(Ordered(Value::None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Ordered, A::Error> {
        let mut items = Vec::new();
        while let Some(Ordered(item)) = access.next_element()? {
            items.push(item);
        }
        let depth = items.iter().filter_map(Value::depth).max().unwrap_or(0) + 1;
        Ok(Ordered(Value::List(Rc::new(List { items, depth }))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Ordered, A::Error> {
        let mut entries: Vec<(Value, Value)> = Vec::new();
        let mut places = HashMap::new();
        while let Some((key, Ordered(value))) = access.next_entry::<String, Ordered>()? {
            // On the wire the arguments of a call are JSON in a text; templates want the object.
            let object = value
                .text()
                .filter(|_| key == "arguments")
                .and_then(|text| serde_json::from_str::<Ordered>(text).ok())
                .filter(|Ordered(object)| matches!(object, Value::Map(_)));
            let value = object.map_or(value, |Ordered(object)| object);
            let key: Arc<str> = key.into();
            let place = *places.entry(Arc::clone(&key)).or_insert(entries.len());
            match entries.get_mut(place) {
                Some((_, known)) => *known = value,
                None => entries.push((Value::Text(key), value)),
            }
        }
        let depths = entries.iter().filter_map(|(_, value)| value.depth());
        let depth = depths.max().unwrap_or(0) + 1;
        Ok(Ordered(Value::Map(Rc::new(Map { entries, depth }))))
    }
}

/// How JSON is written, by the options that Python has.
#[derive(Debug)]
pub(super) struct Style {
    /// Spaces for each level, if each item gets a line of its own.
    pub(super) indent: Option<usize>,
    pub(super) between: Arc<str>,
    pub(super) colon: Arc<str>,
    pub(super) ascii: bool,
    pub(super) sorted: bool,
}

impl Style {
    pub(super) fn write(
        &self,
        value: &Value,
        level: usize,
        out: &mut Writer<'_>,
    ) -> Result<(), Fault> {
        out.meter().step(1)?;
        match value {
            Value::Undefined | Value::None => out.push("null"),
            Value::Bool(true) => out.push("true"),
            Value::Bool(false) => out.push("false"),
            Value::Int(number) => out.push(&number.to_string()),
            Value::Float(number) if number.is_nan() => out.push("NaN"),
            Value::Float(number) if number.is_infinite() => out.push(if *number > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            }),
            Value::Float(number) => out.push(&float(*number)),
            Value::Text(text) => self.quote(text, out),
            Value::List(list) if list.items.is_empty() => out.push("[]"),
            Value::List(list) => {
                out.push("[")?;
                for (index, item) in list.items.iter().enumerate() {
                    self.begin(index, level + 1, out)?;
                    self.write(item, level + 1, out)?;
                }
                self.end(level, out)?;
                out.push("]")
            }
            Value::Map(map) if map.entries.is_empty() => out.push("{}"),
            Value::Map(map) => {
                out.push("{")?;
                out.meter().make(map.entries.len() * 16)?;
                let mut entries: Vec<_> = map.entries.iter().collect();
                if self.sorted {
                    out.meter().step(entries.len() * 8)?;
                    entries.sort_by(|(a, _), (b, _)| a.text().cmp(&b.text()));
                }
                for (index, (key, value)) in entries.into_iter().enumerate() {
                    self.begin(index, level + 1, out)?;
                    match key {
                        Value::Text(key) => self.quote(key, out)?,
                        other => {
                            out.push("\"")?;
                            self.write(other, level, out)?;
                            out.push("\"")?;
                        }
                    }
                    out.push(&self.colon)?;
                    self.write(value, level + 1, out)?;
                }
                self.end(level, out)?;
                out.push("}")
            }
            other => fail(format!("{} is no JSON", other.kind())),
        }
    }

    fn begin(&self, index: usize, level: usize, out: &mut Writer<'_>) -> Result<(), Fault> {
        if index > 0 {
            out.push(&self.between)?;
        }
        self.line(level, out)
    }

    fn end(&self, level: usize, out: &mut Writer<'_>) -> Result<(), Fault> {
        self.line(level, out)
    }

    fn line(&self, level: usize, out: &mut Writer<'_>) -> Result<(), Fault> {
        let Some(width) = self.indent else {
            return Ok(());
        };
        out.push("\n")?;
        for _ in 0..level {
            out.push(&"                "[..width.min(16)])?;
        }
        Ok(())
    }

    fn quote(&self, text: &str, out: &mut Writer<'_>) -> Result<(), Fault> {
        out.push("\"")?;
        let mut plain = 0;
        for (at, c) in text.char_indices() {
            let escaped = match c {
                '"' => "\\\"".to_owned(),
                '\\' => "\\\\".to_owned(),
                '\n' => "\\n".to_owned(),
                '\r' => "\\r".to_owned(),
                '\t' => "\\t".to_owned(),
                '\u{8}' => "\\b".to_owned(),
                '\u{c}' => "\\f".to_owned(),
                c if c < ' ' || (self.ascii && !c.is_ascii()) => c
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .map(|unit| format!("\\u{unit:04x}"))
                    .collect(),
                _ => continue,
            };
            out.push(&text[plain..at])?;
            out.push(&escaped)?;
            plain = at + c.len_utf8();
        }
        out.push(&text[plain..])?;
        out.push("\"")
    }
}
