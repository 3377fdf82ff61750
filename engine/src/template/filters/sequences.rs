//! Filters of lists and maps.

use std::rc::Rc;

use super::{
    super::{
        given::{Given, Optional},
        meter::{Fault, Meter, fail},
        methods, operators, predicates,
        syntax::Operator,
        value::{List, Value},
    },
    apply as filter,
    orders::{dictsort, ordered},
    path,
};

pub(super) fn apply(
    meter: &Meter,
    name: &str,
    value: &Value,
    given: Given,
) -> Result<Value, Fault> {
    match name {
        "items" => {
            given.nothing(name)?;
            match value {
                Value::Undefined => meter.list([]),
                value => methods::call(meter, value, "items", Given::default()),
            }
        }
        "lines" => methods::call(meter, value, "splitlines", given),
        "split" => methods::call(meter, value, "split", given),
        "select" | "reject" => choose(meter, name == "select", value, None, given),
        "selectattr" | "rejectattr" => {
            let mut given = given;
            if given.positional.is_empty() {
                return fail(format!("`{name}` needs an attribute"));
            }
            let attribute = given.positional.remove(0);
            choose(meter, name == "selectattr", value, Some(&attribute), given)
        }
        "map" => map(meter, value, given),
        _ => {
            let known = [
                "batch", "dictsort", "first", "groupby", "join", "last", "list", "max", "min",
                "reverse", "slice", "sort", "sum", "unique",
            ];
            if !known.contains(&name) {
                return fail(format!("there is no filter `{name}`"));
            }
            if name == "dictsort" {
                return dictsort(meter, value, given);
            }
            let list = value.items(meter)?;
            lists(meter, name, &list, given)
        }
    }
}

fn lists(meter: &Meter, name: &str, list: &Rc<List>, given: Given) -> Result<Value, Fault> {
    let items = &list.items;
    let or_undefined = |item: Option<&Value>| Ok(item.cloned().unwrap_or(Value::Undefined));
    match name {
        "first" | "last" | "list" | "reverse" => {
            given.nothing(name)?;
            match name {
                "first" => or_undefined(items.first()),
                "last" => or_undefined(items.last()),
                "list" => Ok(Value::List(Rc::clone(list))),
                _ => meter.list(items.iter().rev().cloned()),
            }
        }
        "join" => {
            let [between, attribute] = given.bind(name, ["d", "attribute"])?;
            let between = between.text_or("", meter)?;
            let mut writer = meter.writer();
            for (index, item) in items.iter().enumerate() {
                meter.step(1)?;
                if index > 0 {
                    writer.push(&between)?;
                }
                match &attribute {
                    Some(attribute) => path(meter, item, attribute)?.show(&mut writer)?,
                    None => item.show(&mut writer)?,
                }
            }
            writer.finish()
        }
        "sum" => {
            let [attribute, start] = given.bind(name, ["attribute", "start"])?;
            let mut sum = start.unwrap_or(Value::Int(0));
            for item in items {
                let item = match &attribute {
                    Some(attribute) => path(meter, item, attribute)?,
                    None => item.clone(),
                };
                sum = operators::operate(meter, Operator::Add, &sum, &item)?;
            }
            Ok(sum)
        }
        "batch" | "slice" => {
            let [count, fill] = given.bind(name, ["count", "fill_with"])?;
            let count = usize::try_from(count.int_or(0)?).unwrap_or(0);
            if count == 0 {
                return fail(format!("`{name}` by nothing"));
            }
            let mut all = meter.items();
            if name == "batch" {
                for part in items.chunks(count) {
                    all.push(filled(meter, part, count, fill.as_ref())?)?;
                }
            } else {
                let (each, more) = (items.len() / count, items.len() % count);
                let mut from = 0;
                for index in 0..count {
                    let len = each + usize::from(index < more);
                    let whole = if more > 0 { each + 1 } else { each };
                    let part = &items[from..from + len];
                    all.push(filled(meter, part, whole, fill.as_ref())?)?;
                    from += len;
                }
            }
            all.finish()
        }
        _ => ordered(meter, name, list, given),
    }
}

fn filled(meter: &Meter, part: &[Value], len: usize, fill: Option<&Value>) -> Result<Value, Fault> {
    let mut items = meter.items();
    for item in part {
        items.push(item.clone())?;
    }
    if let Some(fill) = fill {
        for _ in part.len()..len {
            items.push(fill.clone())?;
        }
    }
    items.finish()
}

/// Items that pass a test, or do not.
fn choose(
    meter: &Meter,
    passing: bool,
    value: &Value,
    attribute: Option<&Value>,
    mut given: Given,
) -> Result<Value, Fault> {
    let test = if given.positional.is_empty() {
        None
    } else {
        Some(given.positional.remove(0).shown(meter)?)
    };
    let mut kept = meter.items();
    for item in &value.items(meter)?.items {
        meter.step(1)?;
        let tested = match attribute {
            Some(attribute) => path(meter, item, attribute)?,
            None => item.clone(),
        };
        let passes = match &test {
            Some(test) => predicates::holds(meter, test, &tested, given.clone())?,
            None => tested.is_true(),
        };
        if passes == passing {
            kept.push(item.clone())?;
        }
    }
    kept.finish()
}

fn map(meter: &Meter, value: &Value, mut given: Given) -> Result<Value, Fault> {
    let list = value.items(meter)?;
    let mut mapped = meter.items();
    if given.positional.is_empty() {
        let [attribute, usual] = given.bind("map", ["attribute", "default"])?;
        let Some(attribute) = attribute else {
            return fail("`map` needs a filter or an attribute");
        };
        for item in &list.items {
            let found = path(meter, item, &attribute)?;
            mapped.push(match (found, &usual) {
                (Value::Undefined, Some(usual)) => usual.clone(),
                (found, _) => found,
            })?;
        }
        return mapped.finish();
    }
    let name = given.positional.remove(0).shown(meter)?;
    if *name == *"map" {
        return fail("`map` within `map`");
    }
    for item in &list.items {
        mapped.push(filter(meter, &name, item.clone(), given.clone())?)?;
    }
    mapped.finish()
}
