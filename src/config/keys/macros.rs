//! Keys whose table and name are also the names of their field.

/// A number; the table and name are also the names of the fields.
macro_rules! number {
    ($table:ident . $name:ident: $int:ty, $range:expr, $applies:ident, $doc:expr) => {
        Key {
            table: stringify!($table),
            name: stringify!($name),
            doc: $doc,
            applies: Applies::$applies,
            form: Form::Number {
                range: $range,
                get: |settings| u64::from(settings.$table.$name),
                set: |settings, number| {
                    settings.$table.$name =
                        <$int>::try_from(number).expect("a key's range fits its field");
                },
            },
        }
    };
}

/// One of a few words; the table and name are also the names of the fields.
macro_rules! choice {
    ($table:ident . $name:ident: $choice:ty, $applies:ident, $doc:expr) => {
        Key {
            table: stringify!($table),
            name: stringify!($name),
            doc: $doc,
            applies: Applies::$applies,
            form: Form::Choice {
                names: || <$choice>::NAMES.iter().map(|(name, _)| *name).collect(),
                get: |settings| settings.$table.$name.name(),
                set: |settings, name| {
                    settings.$table.$name = <$choice>::named(name).expect("only names are set");
                },
            },
        }
    };
}

/// A flag or an address; the table and name are also the names of the fields.
macro_rules! other {
    ($table:ident . $name:ident, $form:ident, $applies:ident, $doc:expr) => {
        Key {
            table: stringify!($table),
            name: stringify!($name),
            doc: $doc,
            applies: Applies::$applies,
            form: Form::$form {
                get: |settings| settings.$table.$name,
                set: |settings, value| settings.$table.$name = value,
            },
        }
    };
}
