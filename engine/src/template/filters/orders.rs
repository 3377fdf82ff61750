//! Filters that compare items with each other.

use std::{cmp::Ordering, rc::Rc};

use super::{
    super::{
        given::{Given, Optional},
        meter::{Fault, Meter, fail},
        value::{List, Value},
    },
    apply as filter, path,
};

/// Filters that compare.
pub(super) fn ordered(
    meter: &Meter,
    name: &str,
    list: &Rc<List>,
    given: Given,
) -> Result<Value, Fault> {
    if name == "groupby" {
        let [attribute, usual, exact] =
            given.bind(name, ["attribute", "default", "case_sensitive"])?;
        let keyed = keyed(
            meter,
            list,
            attribute.as_ref(),
            usual.as_ref(),
            exact.flag_or(false),
        )?;
        let mut groups = meter.items();
        let mut group: Option<(Value, Value, Vec<Value>)> = None;
        for (key, item) in sorted(meter, keyed, false)? {
            meter.make(32)?;
            match &mut group {
                Some((known, _, all)) if known.equals(&key, meter)? => all.push(item),
                _ => {
                    let shown = match &attribute {
                        Some(attribute) => path(meter, &item, attribute)?,
                        None => key.clone(),
                    };
                    if let Some((_, shown, all)) = group.replace((key, shown, vec![item])) {
                        groups.push(meter.list([shown, meter.list(all)?])?)?;
                    }
                }
            }
        }
        if let Some((_, shown, all)) = group {
            groups.push(meter.list([shown, meter.list(all)?])?)?;
        }
        return groups.finish();
    }
    let names = match name {
        "sort" => ["reverse", "case_sensitive", "attribute"],
        _ => ["case_sensitive", "attribute", "reverse"],
    };
    let [first, second, third] = given.bind(name, names)?;
    let (reverse, exact, attribute) = match name {
        "sort" => (first, second, third),
        _ => (third, first, second),
    };
    let keyed = keyed(meter, list, attribute.as_ref(), None, exact.flag_or(false))?;
    match name {
        "sort" => {
            let sorted = sorted(meter, keyed, reverse.flag_or(false))?;
            meter.list(sorted.into_iter().map(|(_, item)| item))
        }
        "unique" => {
            let mut seen: Vec<Value> = Vec::new();
            let mut kept = meter.items();
            for (key, item) in keyed {
                let mut known = false;
                for other in &seen {
                    known = known || other.equals(&key, meter)?;
                }
                if !known {
                    meter.make(32)?;
                    seen.push(key);
                    kept.push(item)?;
                }
            }
            kept.finish()
        }
        _ => {
            let wanted = if name == "max" {
                Ordering::Greater
            } else {
                Ordering::Less
            };
            let mut best: Option<(Value, Value)> = None;
            for (key, item) in keyed {
                let better = match &best {
                    Some((known, _)) => key.compare(known, meter)? == wanted,
                    None => true,
                };
                if better {
                    best = Some((key, item));
                }
            }
            Ok(best.map_or(Value::Undefined, |(_, item)| item))
        }
    }
}

/// Items with what they are compared by.
fn keyed(
    meter: &Meter,
    list: &Rc<List>,
    attribute: Option<&Value>,
    usual: Option<&Value>,
    exact: bool,
) -> Result<Vec<(Value, Value)>, Fault> {
    let mut all = Vec::new();
    for item in &list.items {
        meter.step(1)?;
        meter.make(64)?;
        let mut key = match attribute {
            Some(attribute) => path(meter, item, attribute)?,
            None => item.clone(),
        };
        if let (Value::Undefined, Some(usual)) = (&key, usual) {
            key = usual.clone();
        }
        if !exact && key.text().is_some() {
            key = filter(meter, "lower", key, Given::default())?;
        }
        all.push((key, item.clone()));
    }
    Ok(all)
}

type Keyed = Vec<(Value, Value)>;

/// Merged from halves, because comparing can fail.
fn sorted(meter: &Meter, mut all: Keyed, reverse: bool) -> Result<Keyed, Fault> {
    if all.len() < 2 {
        return Ok(all);
    }
    meter.make(all.len() * 64)?;
    let second = all.split_off(all.len() / 2);
    let mut first = sorted(meter, all, reverse)?.into_iter().peekable();
    let mut second = sorted(meter, second, reverse)?.into_iter().peekable();
    let mut merged = Vec::with_capacity(first.len() + second.len());
    while let (Some((a, _)), Some((b, _))) = (first.peek(), second.peek()) {
        let order = a.compare(b, meter)?;
        let order = if reverse { order.reverse() } else { order };
        merged.extend(if order.is_gt() {
            second.next()
        } else {
            first.next()
        });
    }
    merged.extend(first);
    merged.extend(second);
    Ok(merged)
}

pub(super) fn dictsort(meter: &Meter, value: &Value, given: Given) -> Result<Value, Fault> {
    let Value::Map(map) = value else {
        return fail(format!("{} has no keys", value.kind()));
    };
    let [exact, by, reverse] = given.bind("dictsort", ["case_sensitive", "by", "reverse"])?;
    let by_value = by.some_text()? == Some("value");
    let mut all = Vec::new();
    for (key, value) in &map.entries {
        meter.make(64)?;
        let mut by = if by_value { value } else { key }.clone();
        if !exact.flag_or(false) && by.text().is_some() {
            by = filter(meter, "lower", by, Given::default())?;
        }
        all.push((by, meter.list([key.clone(), value.clone()])?));
    }
    let sorted = sorted(meter, all, reverse.flag_or(false))?;
    meter.list(sorted.into_iter().map(|(_, pair)| pair))
}
