//! Reading the two tables.

/// `functions.csv` as it stands in this folder.
pub const FUNCTIONS: &str = include_str!("functions.csv");
/// `constants.csv` as it stands in this folder.
pub const CONSTANTS: &str = include_str!("constants.csv");

/// A function of the standard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// `MPI_Send`.
    pub name: String,
    /// The C type of the result.
    pub returns: String,
    /// The C parameters; none for `void`.
    pub parameters: Vec<Parameter>,
    /// The Rust function behind it, from the crate's root on; `None` where the library refuses the call by name.
    pub implementation: Option<String>,
}

/// A parameter of a C function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameter {
    /// `...`
    Variadic,
    /// A named one.
    Named {
        /// The declaration as C has it: `const int recvcounts[]`.
        declaration: String,
        /// Whether what it points to is constant.
        constant: bool,
        /// The type that stands in front: `int`, `MPI_Comm`.
        base: String,
        /// Stars in front of the name.
        stars: usize,
        /// The name.
        name: String,
        /// Dimensions behind the name; 0 for an open one.
        dimensions: Vec<usize>,
    },
}

/// A constant of the standard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constant {
    /// `MPI_COMM_WORLD`.
    pub name: String,
    /// The C type, or `alias` where the value is another constant's name.
    pub kind: String,
    /// The value, as C has it.
    pub value: String,
}

/// Reads [`FUNCTIONS`].
///
/// # Errors
/// The line that is not of the format, and why.
pub fn functions() -> Result<Vec<Function>, String> {
    rows(FUNCTIONS)?
        .into_iter()
        .map(|row| {
            let [name, returns, parameters, implementation] = columns(row)?;
            let parameters = match parameters.as_str() {
                "void" => Vec::new(),
                list => list.split(',').map(|text| parameter(text.trim())).collect::<Result<_, _>>()?,
            };
            let implementation = (!implementation.is_empty()).then_some(implementation);
            Ok(Function { name, returns, parameters, implementation })
        })
        .collect()
}

/// Reads [`CONSTANTS`].
///
/// # Errors
/// The line that is not of the format, and why.
pub fn constants() -> Result<Vec<Constant>, String> {
    rows(CONSTANTS)?
        .into_iter()
        .map(|row| {
            let [name, kind, value] = columns(row)?;
            Ok(Constant { name, kind, value })
        })
        .collect()
}

fn parameter(text: &str) -> Result<Parameter, String> {
    if text == "..." {
        return Ok(Parameter::Variadic);
    }
    let wrong = || format!("`{text}` is not a parameter");
    let (declarator, dimensions) = match text.find('[') {
        Some(at) => (&text[..at], &text[at..]),
        None => (text, ""),
    };
    let dimensions = dimensions
        .split_terminator(']')
        .map(|one| match one.trim_start_matches('[') {
            "" => Ok(0),
            size => size.parse().map_err(|_| wrong()),
        })
        .collect::<Result<_, _>>()?;
    let name_at = declarator.rfind([' ', '*']).ok_or_else(wrong)? + 1;
    let (front, name) = declarator.split_at(name_at);
    let stars = front.matches('*').count();
    let words: Vec<&str> = front.split([' ', '*']).filter(|word| !word.is_empty()).collect();
    let (constant, base) = match words[..] {
        ["const", base] => (true, base),
        [base] => (false, base),
        _ => return Err(wrong()),
    };
    Ok(Parameter::Named {
        declaration: text.to_owned(),
        constant,
        base: base.to_owned(),
        stars,
        name: name.to_owned(),
        dimensions,
    })
}

/// The lines below the heading, split into fields; a field with commas stands in quotes.
fn rows(text: &str) -> Result<Vec<Vec<String>>, String> {
    text.lines().skip(1).filter(|line| !line.is_empty()).map(fields).collect()
}

fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            letter => {
                if let Some(field) = fields.last_mut() {
                    field.push(letter);
                }
            }
        }
    }
    if quoted { Err(format!("an open quote in `{line}`")) } else { Ok(fields) }
}

fn columns<const N: usize>(row: Vec<String>) -> Result<[String; N], String> {
    row.try_into().map_err(|row: Vec<String>| format!("{} columns instead of {N}: {row:?}", row.len()))
}
