//! What else is done with an open file: size, views, positions, consistency (MPI 5.0, sections 14.2, 14.3, 14.4.3 and 14.6).

use std::ffi::{CStr, c_char, c_int};

use super::view::View;
use super::{handler, on, outside, shared};
use crate::constants::*;
use crate::datatype::external;
use crate::errors::{Failure, Outcome, Place};
use crate::handle::{Integer, MPI_Datatype, MPI_File, MPI_Group, MPI_Info, MPI_Offset};
use crate::{group, info, types};

/// Where errors of a file are judged.
pub fn call_errhandler_place(file: MPI_File) -> Outcome<Place> {
    Ok(Place::File(file, handler(file)?))
}

/// `MPI_File_get_amode`
pub unsafe fn get_amode(fh: MPI_File, amode: *mut c_int) -> Outcome {
    on(fh, |file| {
        // SAFETY: the caller gives room for an integer; so below where one is written.
        unsafe { amode.write(file.amode) };
        Ok(())
    })
}

/// `MPI_File_get_group`
pub unsafe fn get_group(fh: MPI_File, group: *mut MPI_Group) -> Outcome {
    // SAFETY: the caller gives room for a handle.
    on(fh, |file| unsafe { group::hand_out(file.comm.group.clone(), group) })
}

/// `MPI_File_set_info`
pub unsafe fn set_info(fh: MPI_File, info: MPI_Info) -> Outcome {
    on(fh, |file| {
        let hints = info::get(info)?;
        file.state().info.update(&hints);
        Ok(())
    })
}

/// `MPI_File_get_info`
pub unsafe fn get_info(fh: MPI_File, info_used: *mut MPI_Info) -> Outcome {
    on(fh, |file| {
        let hints = file.state().info.clone();
        // SAFETY: the caller gives room for a handle.
        unsafe { info::hand_out(hints, info_used) };
        Ok(())
    })
}

/// `MPI_File_get_size`
pub unsafe fn get_size(fh: MPI_File, size: *mut MPI_Offset) -> Outcome {
    on(fh, |file| {
        // SAFETY: see `get_amode`.
        unsafe { size.write(file.size()?) };
        Ok(())
    })
}

fn resize(fh: MPI_File, size: MPI_Offset, shrinks: bool) -> Outcome {
    on(fh, |file| {
        let bytes =
            u64::try_from(size).map_err(|_| Failure::new(MPI_ERR_ARG, format!("a size of {size}")))?;
        if file.amode & MPI_MODE_RDONLY != 0 {
            return Err(Failure::new(MPI_ERR_READ_ONLY, "the file was opened for reading"));
        }
        file.meet()?;
        if file.comm.rank == 0 {
            outside::attempt(|| {
                let outside = file.outside()?;
                if shrinks || outside.metadata()?.len() < bytes {
                    outside.set_len(bytes)?;
                }
                Ok(Vec::new())
            })?;
        }
        file.meet()
    })
}

/// `MPI_File_set_size`
pub unsafe fn set_size(fh: MPI_File, size: MPI_Offset) -> Outcome {
    resize(fh, size, true)
}

/// `MPI_File_preallocate`
pub unsafe fn preallocate(fh: MPI_File, size: MPI_Offset) -> Outcome {
    resize(fh, size, false)
}

/// `MPI_File_sync`
pub unsafe fn sync(fh: MPI_File) -> Outcome {
    on(fh, |file| {
        outside::attempt(|| file.outside()?.sync_data().map(|()| Vec::new()))?;
        file.meet()
    })
}

/// `MPI_File_set_atomicity`: in atomic mode each access locks the file.
pub unsafe fn set_atomicity(fh: MPI_File, flag: c_int) -> Outcome {
    on(fh, |file| {
        file.state().atomic = flag != 0;
        file.meet()
    })
}

/// `MPI_File_get_atomicity`
pub unsafe fn get_atomicity(fh: MPI_File, flag: *mut c_int) -> Outcome {
    on(fh, |file| {
        // SAFETY: see `get_amode`.
        unsafe { flag.write(c_int::from(file.state().atomic)) };
        Ok(())
    })
}

/// `MPI_File_set_view`
pub unsafe fn set_view(
    fh: MPI_File,
    disp: MPI_Offset,
    etype: MPI_Datatype,
    filetype: MPI_Datatype,
    datarep: *const c_char,
    info: MPI_Info,
) -> Outcome {
    on(fh, |file| {
        if datarep.is_null() {
            return Err(crate::status::null("the representation"));
        }
        // SAFETY: the caller gives a string.
        let external =
            match unsafe { CStr::from_ptr(datarep) }.to_string_lossy().to_ascii_lowercase().as_str() {
                "native" | "internal" => false,
                "external32" => true,
                other => {
                    return Err(Failure::new(
                        MPI_ERR_UNSUPPORTED_DATAREP,
                        format!("the representation `{other}`"),
                    ));
                }
            };
        let hints = info::get(info)?;
        let disp = match disp {
            MPI_DISPLACEMENT_CURRENT => {
                file.meet()?;
                let view = file.state().view.clone();
                view.byte_offset(shared::get(file)? * view.etype.size() as i64)
            }
            disp => disp,
        };
        let overlaps = file.amode & MPI_MODE_RDONLY != 0;
        let view = View::new(disp, types::get(etype)?, types::get(filetype)?, (external, overlaps))?;
        {
            let mut state = file.state();
            state.view = view;
            state.position = 0;
            state.info.update(&hints);
        }
        shared::set(file, 0)
    })
}

/// `MPI_File_get_view`
pub unsafe fn get_view(
    fh: MPI_File,
    disp: *mut MPI_Offset,
    etype: *mut MPI_Datatype,
    filetype: *mut MPI_Datatype,
    datarep: *mut c_char,
) -> Outcome {
    on(fh, |file| {
        let view = file.state().view.clone();
        let name: &CStr = if view.external { c"external32" } else { c"native" };
        // SAFETY: the caller gives room for all.
        unsafe {
            disp.write(view.displacement);
            types::hand_out_same(&view.etype, etype)?;
            types::hand_out_same(&view.filetype, filetype)?;
            datarep.copy_from_nonoverlapping(name.as_ptr(), name.count_bytes() + 1);
        }
        Ok(())
    })
}

/// `MPI_File_seek`
pub unsafe fn seek(fh: MPI_File, offset: MPI_Offset, whence: c_int) -> Outcome {
    on(fh, |file| {
        let from = match whence {
            MPI_SEEK_SET => 0,
            MPI_SEEK_CUR => file.state().position,
            MPI_SEEK_END => {
                let size = file.size()?;
                file.state().view.end(size)
            }
            other => return Err(Failure::new(MPI_ERR_ARG, format!("whence {other}"))),
        };
        let to = from.checked_add(offset).filter(|to| *to >= 0);
        file.state().position = to.ok_or_else(|| Failure::new(MPI_ERR_ARG, format!("offset {offset}")))?;
        Ok(())
    })
}

/// `MPI_File_get_position`
pub unsafe fn get_position(fh: MPI_File, offset: *mut MPI_Offset) -> Outcome {
    on(fh, |file| {
        // SAFETY: see `get_amode`.
        unsafe { offset.write(file.state().position) };
        Ok(())
    })
}

/// `MPI_File_get_byte_offset`
pub unsafe fn get_byte_offset(fh: MPI_File, offset: MPI_Offset, disp: *mut MPI_Offset) -> Outcome {
    on(fh, |file| {
        let view = file.state().view.clone();
        if offset < 0 {
            return Err(Failure::new(MPI_ERR_ARG, format!("offset {offset}")));
        }
        // SAFETY: see `get_amode`.
        unsafe { disp.write(view.byte_offset(offset * view.etype.size() as i64)) };
        Ok(())
    })
}

/// `MPI_File_seek_shared`
pub unsafe fn seek_shared(fh: MPI_File, offset: MPI_Offset, whence: c_int) -> Outcome {
    on(fh, |file| {
        let from = match whence {
            MPI_SEEK_SET => 0,
            MPI_SEEK_CUR => {
                file.meet()?;
                shared::get(file)?
            }
            MPI_SEEK_END => {
                let size = file.size()?;
                file.state().view.end(size)
            }
            other => return Err(Failure::new(MPI_ERR_ARG, format!("whence {other}"))),
        };
        let to = from.checked_add(offset).filter(|to| *to >= 0);
        shared::set(file, to.ok_or_else(|| Failure::new(MPI_ERR_ARG, format!("offset {offset}")))?)
    })
}

/// `MPI_File_get_position_shared`
pub unsafe fn get_position_shared(fh: MPI_File, offset: *mut MPI_Offset) -> Outcome {
    on(fh, |file| {
        // SAFETY: see `get_amode`.
        unsafe { offset.write(shared::get(file)?) };
        Ok(())
    })
}

/// `MPI_File_get_type_extent`
pub unsafe fn get_type_extent<N: Integer>(fh: MPI_File, datatype: MPI_Datatype, extent: *mut N) -> Outcome {
    on(fh, |file| {
        let datatype = types::get(datatype)?;
        let external = file.state().view.external && datatype.is_contiguous();
        let bytes = if external { external::size(&datatype, 1) as i64 } else { datatype.extent() };
        if let Some(bytes) = N::narrow(bytes) {
            // SAFETY: see `get_amode`.
            unsafe { extent.write(bytes) };
        }
        Ok(())
    })
}
