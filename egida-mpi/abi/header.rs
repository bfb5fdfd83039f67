//! `mpi.h` of the standard's ABI.

use super::table::{Constant, Function, Parameter};

/// The whole header.
#[must_use]
pub fn mpi_h(functions: &[Function], constants: &[Constant]) -> String {
    let mut out = String::from(PREAMBLE);
    out.push_str("\n/* Constants. */\n\n");
    for constant in constants.iter().filter(|constant| enumeration(&constant.name).is_none()) {
        out.push_str(&definition(constant));
    }
    out.push_str("\n/* Functions. */\n\n");
    for prefix in ["", "P"] {
        for function in functions {
            out.push_str(&format!("{};\n", prototype(&format!("{prefix}{}", function.name), function)));
        }
        out.push('\n');
    }
    out.push_str(&fortran_handles(functions));
    out.push_str(FORTRAN_STATUSES);
    out.push_str(END);
    enumerations(&out, constants)
}

/// A C file that takes every function's address as a pointer to the table's type, and counts them: it compiles and links
/// where header, library and table agree.
#[must_use]
pub fn address_test(functions: &[Function]) -> String {
    let mut out =
        String::from("#include <mpi.h>\n#include <stdio.h>\n\nint main(void) {\n    int count = 0;\n");
    for function in functions {
        for prefix in ["", "P"] {
            let pointer = prototype("(*volatile function)", function);
            let name = &function.name;
            out.push_str(&format!("    {{ {pointer} = {prefix}{name}; count += function != 0; }}\n"));
        }
    }
    out.push_str("    printf(\"%d\\n\", count);\n    return 0;\n}\n");
    out
}

fn prototype(declarator: &str, function: &Function) -> String {
    let parameters: Vec<&str> = function
        .parameters
        .iter()
        .map(|parameter| match parameter {
            Parameter::Variadic => "...",
            Parameter::Named { declaration, .. } => declaration,
        })
        .collect();
    let parameters = if parameters.is_empty() { "void".to_owned() } else { parameters.join(", ") };
    format!("{} {declarator}({parameters})", function.returns)
}

fn definition(Constant { name, kind, value }: &Constant) -> String {
    match kind.as_str() {
        "alias" => format!("#define {name} {value}\n"),
        "int" if value.starts_with('-') => format!("#define {name} ({value})\n"),
        "int" => format!("#define {name} {value}\n"),
        pointer if pointer.ends_with('*') => {
            let stars = pointer.find('*').unwrap_or(pointer.len());
            let (base, stars) = pointer.split_at(stars);
            format!("#define {name} (({base} {stars}){value})\n")
        }
        named => format!("#define {name} (({named}){value})\n"),
    }
}

/// The C enumeration that a constant belongs to.
fn enumeration(name: &str) -> Option<&'static str> {
    if name.starts_with("MPI_T_CB_REQUIRE_") {
        Some("MPI_T_cb_safety")
    } else if name.starts_with("MPI_T_SOURCE_") {
        Some("MPI_T_source_order")
    } else {
        None
    }
}

fn enumerations(header: &str, constants: &[Constant]) -> String {
    let mut text = String::new();
    for wanted in ["MPI_T_cb_safety", "MPI_T_source_order"] {
        let members: Vec<String> = constants
            .iter()
            .filter(|constant| enumeration(&constant.name) == Some(wanted))
            .map(|constant| format!("    {} = {}", constant.name, constant.value))
            .collect();
        text.push_str(&format!("typedef enum {wanted} {{\n{}\n}} {wanted};\n", members.join(",\n")));
    }
    header.replace("@ENUMERATIONS@\n", &text)
}

/// The conversions of the Fortran bindings where a Fortran INTEGER is a C int: the ABI has the same under other names.
fn fortran_handles(functions: &[Function]) -> String {
    let mut out = String::from("/* Fortran's handles, for a Fortran INTEGER that is a C int. */\n\n");
    for function in functions {
        let Some(stem) = function.name.strip_suffix("_toint") else { continue };
        let kind = if stem == "MPI_Type" { "MPI_Datatype" } else { stem };
        out.push_str(&format!(
            "static inline MPI_Fint {stem}_c2f({kind} handle) {{ return {stem}_toint(handle); }}\n\
             static inline {kind} {stem}_f2c(MPI_Fint handle) {{ return {stem}_fromint(handle); }}\n"
        ));
    }
    out
}

const PREAMBLE: &str = r#"/* MPI 5.0, standard ABI. Written from abi/functions.csv and abi/constants.csv; do not edit. */
#ifndef MPI_H_ABI
#define MPI_H_ABI

#include <stddef.h>
#include <stdint.h>

#if defined(__cplusplus)
extern "C" {
#endif

/* Integer types. */

typedef intptr_t MPI_Aint;
typedef int64_t MPI_Offset;
typedef int64_t MPI_Count;
typedef int MPI_Fint;

/* Handles. */

typedef struct MPI_ABI_Op *MPI_Op;
typedef struct MPI_ABI_Comm *MPI_Comm;
typedef struct MPI_ABI_Group *MPI_Group;
typedef struct MPI_ABI_Win *MPI_Win;
typedef struct MPI_ABI_File *MPI_File;
typedef struct MPI_ABI_Session *MPI_Session;
typedef struct MPI_ABI_Message *MPI_Message;
typedef struct MPI_ABI_Info *MPI_Info;
typedef struct MPI_ABI_Errhandler *MPI_Errhandler;
typedef struct MPI_ABI_Request *MPI_Request;
typedef struct MPI_ABI_Datatype *MPI_Datatype;

typedef struct MPI_ABI_T_enum *MPI_T_enum;
typedef struct MPI_ABI_T_cvar_handle *MPI_T_cvar_handle;
typedef struct MPI_ABI_T_pvar_handle *MPI_T_pvar_handle;
typedef struct MPI_ABI_T_pvar_session *MPI_T_pvar_session;
typedef struct MPI_ABI_T_event_registration *MPI_T_event_registration;
typedef struct MPI_ABI_T_event_instance *MPI_T_event_instance;

@ENUMERATIONS@

/* Statuses. */

typedef struct MPI_Status {
    int MPI_SOURCE;
    int MPI_TAG;
    int MPI_ERROR;
    int MPI_internal[5];
} MPI_Status;

typedef struct MPI_F08_status {
    MPI_Fint MPI_SOURCE;
    MPI_Fint MPI_TAG;
    MPI_Fint MPI_ERROR;
    MPI_Fint MPI_internal[5];
} MPI_F08_status;

/* Functions that a program hands to the library. */

typedef void MPI_User_function(void *invec, void *inoutvec, int *len, MPI_Datatype *datatype);
typedef void MPI_User_function_c(void *invec, void *inoutvec, MPI_Count *len, MPI_Datatype *datatype);

typedef void MPI_Comm_errhandler_function(MPI_Comm *comm, int *error_code, ...);
typedef void MPI_Win_errhandler_function(MPI_Win *win, int *error_code, ...);
typedef void MPI_File_errhandler_function(MPI_File *file, int *error_code, ...);
typedef void MPI_Session_errhandler_function(MPI_Session *session, int *error_code, ...);

typedef int MPI_Copy_function(MPI_Comm oldcomm, int keyval, void *extra_state, void *attribute_val_in,
                              void *attribute_val_out, int *flag);
typedef int MPI_Delete_function(MPI_Comm comm, int keyval, void *attribute_val, void *extra_state);
typedef int MPI_Comm_copy_attr_function(MPI_Comm oldcomm, int comm_keyval, void *extra_state,
                                        void *attribute_val_in, void *attribute_val_out, int *flag);
typedef int MPI_Comm_delete_attr_function(MPI_Comm comm, int comm_keyval, void *attribute_val,
                                          void *extra_state);
typedef int MPI_Type_copy_attr_function(MPI_Datatype oldtype, int type_keyval, void *extra_state,
                                        void *attribute_val_in, void *attribute_val_out, int *flag);
typedef int MPI_Type_delete_attr_function(MPI_Datatype datatype, int type_keyval, void *attribute_val,
                                          void *extra_state);
typedef int MPI_Win_copy_attr_function(MPI_Win oldwin, int win_keyval, void *extra_state,
                                       void *attribute_val_in, void *attribute_val_out, int *flag);
typedef int MPI_Win_delete_attr_function(MPI_Win win, int win_keyval, void *attribute_val, void *extra_state);

typedef int MPI_Grequest_query_function(void *extra_state, MPI_Status *status);
typedef int MPI_Grequest_free_function(void *extra_state);
typedef int MPI_Grequest_cancel_function(void *extra_state, int complete);

typedef int MPI_Datarep_extent_function(MPI_Datatype datatype, MPI_Aint *extent, void *extra_state);
typedef int MPI_Datarep_conversion_function(void *userbuf, MPI_Datatype datatype, int count, void *filebuf,
                                            MPI_Offset position, void *extra_state);
typedef int MPI_Datarep_conversion_function_c(void *userbuf, MPI_Datatype datatype, MPI_Count count,
                                              void *filebuf, MPI_Offset position, void *extra_state);

typedef void MPI_T_event_cb_function(MPI_T_event_instance event_instance,
                                     MPI_T_event_registration event_registration, MPI_T_cb_safety cb_safety,
                                     void *user_data);
typedef void MPI_T_event_free_cb_function(MPI_T_event_registration event_registration,
                                          MPI_T_cb_safety cb_safety, void *user_data);
typedef void MPI_T_event_dropped_cb_function(MPI_Count count, MPI_T_event_registration event_registration,
                                             int source_index, MPI_T_cb_safety cb_safety, void *user_data);
"#;

/// A Fortran status is the same eight integers, as an array and as a derived type; the places that stand for none are in the
/// COMMON block of `abi/fortran/constant.rs`.
const FORTRAN_STATUSES: &str = r#"
/* Fortran's statuses: the same integers as C's. */

extern MPI_Fint egida_mpi_addresses_[];

#define MPI_F_STATUS_IGNORE (&egida_mpi_addresses_[8])
#define MPI_F_STATUSES_IGNORE (&egida_mpi_addresses_[16])
#define MPI_F08_STATUS_IGNORE ((MPI_F08_status *)(void *)MPI_F_STATUS_IGNORE)
#define MPI_F08_STATUSES_IGNORE ((MPI_F08_status *)(void *)MPI_F_STATUSES_IGNORE)

static inline int egida_copy_status(const void *from, void *to) {
    const MPI_Fint *source = (const MPI_Fint *)from;
    MPI_Fint *target = (MPI_Fint *)to;
    int word;
    for (word = 0; word < MPI_F_STATUS_SIZE; word++) target[word] = source[word];
    return MPI_SUCCESS;
}
static inline int MPI_Status_c2f(const MPI_Status *c, MPI_Fint *f) { return egida_copy_status(c, f); }
static inline int MPI_Status_f2c(const MPI_Fint *f, MPI_Status *c) { return egida_copy_status(f, c); }
static inline int MPI_Status_c2f08(const MPI_Status *c, MPI_F08_status *f08) { return egida_copy_status(c, f08); }
static inline int MPI_Status_f082c(const MPI_F08_status *f08, MPI_Status *c) { return egida_copy_status(f08, c); }
static inline int MPI_Status_f2f08(const MPI_Fint *f, MPI_F08_status *f08) { return egida_copy_status(f, f08); }
static inline int MPI_Status_f082f(const MPI_F08_status *f08, MPI_Fint *f) { return egida_copy_status(f08, f); }
"#;

const END: &str = r#"
#if defined(__cplusplus)
}
#endif

#endif
"#;
