! One rank, with interfaces: sizes, addresses of memory, sections, a struct of addresses.

program module_mpi
  use mpi
  use, intrinsic :: iso_c_binding
  implicit none
  integer :: ierror, size, comm, group, outcome, op, newtype
  integer :: status(MPI_STATUS_SIZE), i
  integer(kind=MPI_ADDRESS_KIND) :: base, low, extent
  integer(kind=MPI_COUNT_KIND) :: large
  type(c_ptr) :: memory
  integer, pointer :: cells(:)
  real(8) :: matrix(3, 4), row(4)
  complex(8) :: z(2)
  external :: longest

  call MPI_Init(ierror)
  call MPI_Sizeof(matrix, size, ierror)
  call require(size == 8, 'sizeof')
  call MPI_Sizeof(z, size, ierror)
  call require(size == 16, 'sizeof complex')
  call MPI_Sizeof('abc', size, ierror)
  call require(size == 3, 'sizeof text')
  call MPI_Type_size(MPI_DOUBLE_COMPLEX, size, ierror)
  call require(size == 16, 'size')
  call MPI_Type_size_x(MPI_2INTEGER, large, ierror)
  call require(large == 8, 'large size')

  call MPI_Comm_dup(MPI_COMM_WORLD, comm, ierror)
  call MPI_Comm_compare(comm, MPI_COMM_WORLD, outcome, ierror)
  call require(outcome == MPI_CONGRUENT, 'dup')
  call MPI_Comm_group(comm, group, ierror)
  call MPI_Group_free(group, ierror)
  call require(group == MPI_GROUP_NULL, 'group')

  ! A row is not contiguous: it is copied for the call, there and back.
  matrix = reshape([(real(i, 8), i = 1, 12)], [3, 4])
  call MPI_Sendrecv(matrix(2, :), 4, MPI_REAL8, 0, 1, row, 4, MPI_REAL8, 0, 1, comm, status, ierror)
  call require(all(nint(row) == [2, 5, 8, 11]), 'row')
  call MPI_Sendrecv(row, 4, MPI_REAL8, 0, 2, matrix(3, :), 4, MPI_REAL8, 0, 2, comm, MPI_STATUS_IGNORE, ierror)
  call require(all(nint(matrix(3, :)) == [2, 5, 8, 11]) .and. nint(matrix(1, 1)) == 1, 'into a row')

  call MPI_Alloc_mem(64_MPI_ADDRESS_KIND, MPI_INFO_NULL, memory, ierror)
  call c_f_pointer(memory, cells, [16])
  cells = 4
  call MPI_Get_address(cells, base, ierror)
  call require(base == transfer(memory, base), 'allocated')
  call MPI_Free_mem(cells, ierror)

  call MPI_Type_create_resized(MPI_INTEGER, -4_MPI_ADDRESS_KIND, 16_MPI_ADDRESS_KIND, newtype, ierror)
  call MPI_Type_get_extent(newtype, low, extent, ierror)
  call require(low == -4 .and. extent == 16, 'extent')
  call MPI_Type_free(newtype, ierror)
  call require(MPI_Aint_diff(MPI_Aint_add(100_MPI_ADDRESS_KIND, 20_MPI_ADDRESS_KIND), 120_MPI_ADDRESS_KIND) == 0, 'aint')

  call MPI_Op_create(longest, .false., op, ierror)
  z = [(1d0, 2d0), (3d0, 4d0)]
  call MPI_Allreduce(MPI_IN_PLACE, z, 2, MPI_DOUBLE_COMPLEX, op, comm, ierror)
  call require(nint(real(z(2))) == 3, 'op')
  call MPI_Op_free(op, ierror)
  call require(op == MPI_OP_NULL, 'freed op')
  call MPI_Comm_free(comm, ierror)
  call MPI_Finalize(ierror)
  print '(a)', 'good'

contains

  subroutine require(holds, what)
    logical, intent(in) :: holds
    character(len=*), intent(in) :: what
    if (holds) return
    print *, 'wrong: ', what
    stop 3
  end subroutine
end program

subroutine longest(left, right, length, datatype)
  implicit none
  integer :: length, datatype, i
  complex(8) :: left(length), right(length)
  do i = 1, length
    if (abs(left(i)) > abs(right(i))) right(i) = left(i)
  end do
end subroutine
