//! What a template is, once it is read. Chains of operators, of attributes and of filters are lists, so that only what
//! is written within brackets or tags lies deeper.

use std::sync::Arc;

pub(super) type Name = Arc<str>;
/// Statements with the lines they begin in.
pub(super) type Block = Vec<(u32, Statement)>;

#[derive(Debug)]
pub(super) enum Statement {
    Data(Name),
    Output(Expression),
    For(Arc<For>),
    /// Conditions with what is done under them.
    If(Vec<(Expression, Block)>, Block),
    Set(Target, Expression),
    /// The text that a block writes, into a variable.
    Capture(Target, Vec<Link>, Block),
    /// A block with filters.
    Filter(Vec<Link>, Block),
    With(Vec<(Target, Expression)>, Block),
    Macro(Arc<Macro>),
    Call(Expression, Arc<Macro>),
    Do(Expression),
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct For {
    pub(super) target: Target,
    pub(super) over: Expression,
    pub(super) filter: Option<Expression>,
    pub(super) recursive: bool,
    pub(super) body: Block,
    pub(super) otherwise: Block,
}

#[derive(Debug)]
pub(super) struct Macro {
    pub(super) name: Name,
    pub(super) parameters: Vec<(Name, Option<Expression>)>,
    pub(super) body: Block,
}

#[derive(Debug)]
pub(super) enum Target {
    Name(Name),
    Attribute(Name, Name),
    Many(Vec<Self>),
}

#[derive(Debug)]
pub(super) enum Expression {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Name),
    Name(Name),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Not(Box<Self>),
    Negative(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Compare(Box<Self>, Vec<(Comparison, Self)>),
    Chain(Box<Self>, Vec<(Operator, Self)>),
    /// The condition, and what is meant with it and without.
    If(Box<(Self, Self, Option<Self>)>),
    Path(Box<Self>, Vec<Link>),
}

/// What can stand behind a value.
#[derive(Debug)]
pub(super) enum Link {
    Attribute(Name),
    Item(Expression),
    Slice(Box<[Option<Expression>; 3]>),
    Call(Arguments),
    Method(Name, Arguments),
    Filter(Name, Arguments),
    /// A test, and whether it is to fail.
    Test(Name, bool, Arguments),
}

#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// Values, and whether each is a list of values.
    pub(super) positional: Vec<(bool, Expression)>,
    /// Names and values; without a name, a map of them.
    pub(super) named: Vec<(Option<Name>, Expression)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Concatenate,
    Multiply,
    Divide,
    DivideDown,
    Remainder,
    Power,
}
