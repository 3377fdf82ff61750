//! What a function, a filter or a method is given.

use super::{
    meter::{Fault, Meter, fail},
    syntax::Name,
    value::Value,
};

#[derive(Debug, Default, Clone)]
pub(super) struct Given {
    pub(super) positional: Vec<Value>,
    pub(super) named: Vec<(Name, Value)>,
}

impl Given {
    /// The values of parameters, by place or by name.
    pub(super) fn bind<const N: usize>(
        self,
        what: &str,
        names: [&str; N],
    ) -> Result<[Option<Value>; N], Fault> {
        let mut bound = [const { None }; N];
        if self.positional.len() > N {
            return fail(format!("`{what}` takes {N} values at most"));
        }
        for (place, value) in bound.iter_mut().zip(self.positional) {
            *place = Some(value);
        }
        for (name, value) in self.named {
            match names.iter().position(|known| **known == *name) {
                Some(at) => bound[at] = Some(value),
                None => return fail(format!("`{what}` has no `{name}`")),
            }
        }
        Ok(bound)
    }

    /// Nothing is given.
    pub(super) fn nothing(self, what: &str) -> Result<(), Fault> {
        let [] = self.bind(what, [])?;
        Ok(())
    }
}

/// Readings of what was given, or was not.
pub(super) trait Optional {
    fn text_or(&self, usual: &str, meter: &Meter) -> Result<Name, Fault>;
    fn int_or(&self, usual: i64) -> Result<i64, Fault>;
    fn flag_or(&self, usual: bool) -> bool;
    fn some_text(&self) -> Result<Option<&str>, Fault>;
}

impl Optional for Option<Value> {
    fn text_or(&self, usual: &str, meter: &Meter) -> Result<Name, Fault> {
        match self {
            None | Some(Value::Undefined | Value::None) => Ok(usual.into()),
            Some(value) => value.shown(meter),
        }
    }

    fn int_or(&self, usual: i64) -> Result<i64, Fault> {
        match self {
            None | Some(Value::Undefined | Value::None) => Ok(usual),
            Some(Value::Bool(flag)) => Ok((*flag).into()),
            Some(Value::Int(number)) => i64::try_from(*number)
                .map_err(|_| Fault::Failed("a number is too large".to_owned())),
            Some(other) => fail(format!("{} where a whole number belongs", other.kind())),
        }
    }

    fn flag_or(&self, usual: bool) -> bool {
        match self {
            None | Some(Value::Undefined) => usual,
            Some(value) => value.is_true(),
        }
    }

    fn some_text(&self) -> Result<Option<&str>, Fault> {
        match self {
            None | Some(Value::Undefined | Value::None) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => fail(format!("{} where a text belongs", other.kind())),
        }
    }
}
