//! Values as Python writes them.

use std::sync::Arc;

use super::{
    meter::{Fault, Meter, Writer},
    syntax::Name,
    value::Value,
};

impl Value {
    /// As `str` has it.
    pub(super) fn show(&self, out: &mut Writer<'_>) -> Result<(), Fault> {
        match self {
            Self::Undefined => Ok(()),
            Self::Text(text) => out.push(text),
            other => other.represent(out),
        }
    }

    /// A text as it is, anything else as `str` has it.
    pub(super) fn shown(&self, meter: &Meter) -> Result<Name, Fault> {
        if let Self::Text(text) = self {
            return Ok(Arc::clone(text));
        }
        let mut writer = meter.writer();
        self.show(&mut writer)?;
        Ok(writer.into_text().into())
    }

    /// As `repr` has it.
    pub(super) fn represent(&self, out: &mut Writer<'_>) -> Result<(), Fault> {
        out.meter().step(1)?;
        match self {
            Self::Undefined => out.push("Undefined"),
            Self::None => out.push("None"),
            Self::Bool(true) => out.push("True"),
            Self::Bool(false) => out.push("False"),
            Self::Int(number) => out.push(&number.to_string()),
            Self::Float(number) => out.push(&float(*number)),
            Self::Text(text) => quote(text, out),
            Self::List(list) => {
                out.push("[")?;
                for (index, item) in list.items.iter().enumerate() {
                    out.push(if index > 0 { ", " } else { "" })?;
                    item.represent(out)?;
                }
                out.push("]")
            }
            Self::Map(map) => {
                out.push("{")?;
                for (index, (key, value)) in map.entries.iter().enumerate() {
                    out.push(if index > 0 { ", " } else { "" })?;
                    key.represent(out)?;
                    out.push(": ")?;
                    value.represent(out)?;
                }
                out.push("}")
            }
            Self::Space(_) => out.push("<Namespace>"),
            Self::Macro(_) => out.push("<Macro>"),
            Self::Loop(_) => out.push("<LoopContext>"),
            Self::Function(_) => out.push("<function>"),
        }
    }
}

/// A number as Python writes it.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{number:?}")
}

fn quote(text: &str, out: &mut Writer<'_>) -> Result<(), Fault> {
    let mark = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push_char(mark)?;
    for c in text.chars() {
        match c {
            '\n' => out.push("\\n")?,
            '\r' => out.push("\\r")?,
            '\t' => out.push("\\t")?,
            '\\' => out.push("\\\\")?,
            c if c == mark => {
                out.push("\\")?;
                out.push_char(c)?;
            }
            c if c.is_control() => out.push(&format!("\\x{:02x}", u32::from(c)))?,
            c => out.push_char(c)?,
        }
    }
    out.push_char(mark)
}
