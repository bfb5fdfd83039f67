! As seeded.c, with the module mpi_f08: draws from the clocks and the randomness of Fortran travel by messages from named
! sources and both ends print them; all that differs between two runs is what was read. A derived type is sent as a struct, and
! persistent requests carry it.
!
!   fortran_f08 [rounds]

module reductions
  use mpi_f08
  use, intrinsic :: iso_c_binding, only: c_ptr, c_f_pointer
  implicit none
  integer, parameter :: long = selected_int_kind(18)

contains

  ! Which bits differ, of all ranks' values.
  subroutine gather_bits(invec, inoutvec, len, datatype)
    type(c_ptr), value :: invec, inoutvec
    integer :: len
    type(MPI_Datatype) :: datatype
    integer(long), pointer :: left(:), right(:)

    if (datatype /= MPI_INTEGER8) call MPI_Abort(MPI_COMM_WORLD, 3)
    call c_f_pointer(invec, left, [len])
    call c_f_pointer(inoutvec, right, [len])
    right = ieor(left, right)
  end subroutine
end module

program seeded
  use mpi_f08
  use reductions
  implicit none
  ! 0x9E3779B97F4A7C15
  integer(long), parameter :: factor = -7046029254386353131_long

  type :: draw
    integer :: round
    real(8) :: weight
    integer(long) :: value
  end type

  integer :: rank, ranks, rounds, round, to, from, length
  integer(long) :: state, first, now
  integer(kind=MPI_ADDRESS_KIND) :: places(4)
  type(draw) :: out, in
  type(MPI_Datatype) :: draw_type, packed
  type(MPI_Comm) :: comm
  type(MPI_Op) :: op
  type(MPI_Request) :: requests(2)
  type(MPI_Status) :: statuses(2)
  character(len=MPI_MAX_PROCESSOR_NAME) :: name
  character(len=32) :: argument

  call MPI_Init()
  call MPI_Comm_dup(MPI_COMM_WORLD, comm)
  call MPI_Comm_rank(comm, rank)
  call MPI_Comm_size(comm, ranks)
  call require(comm /= MPI_COMM_WORLD .and. .not. comm == MPI_COMM_NULL, 'handles')
  rounds = 60
  call get_command_argument(1, argument)
  if (argument /= ' ') read (argument, *) rounds
  call MPI_Get_processor_name(name, length)
  call require(length > 0 .and. name(length + 1:) == ' ', 'name')

  call MPI_Get_address(out, places(1))
  call MPI_Get_address(out%round, places(2))
  call MPI_Get_address(out%weight, places(3))
  call MPI_Get_address(out%value, places(4))
  call MPI_Type_create_struct(3, [1, 1, 1], places(2:) - places(1), [MPI_INTEGER, MPI_REAL8, MPI_INTEGER8], packed)
  call MPI_Type_create_resized(packed, 0_MPI_ADDRESS_KIND, storage_size(out, kind=MPI_ADDRESS_KIND) / 8, draw_type)
  call MPI_Type_commit(draw_type)
  call MPI_Type_free(packed)
  call MPI_Op_create(gather_bits, .true., op)

  state = mix(0_long, int(rank + 1, long))
  to = mod(rank + 1, ranks)
  from = mod(rank + ranks - 1, ranks)
  call MPI_Recv_init(in, 1, draw_type, from, 1, comm, requests(1))
  call MPI_Send_init(out, 1, draw_type, to, 1, comm, requests(2))
  do round = 0, rounds - 1
    state = mix(state, read_outside())
    out = draw(round, 0.5d0 * round, state)
    write (*, '(i0,a,i0,a,i0,a,z16.16)') rank, ': gave to=', to, ' seq=', round, ' value=', state
    flush (6)
    call MPI_Startall(2, requests)
    call MPI_Waitall(2, requests, statuses)
    call require(statuses(1)%MPI_SOURCE == from .and. statuses(1)%MPI_TAG == 1, 'status')
    call require(in%round == round .and. abs(in%weight - 0.5d0 * round) < tiny(in%weight), 'draw')
    write (*, '(i0,a,i0,a,i0,a,z16.16)') rank, ': got from=', from, ' seq=', round, ' value=', in%value
    flush (6)
    state = mix(state, in%value)
    if (mod(round, 10) == 9) then
      call system_clock(now)
      write (*, '(i0,a,i0)') rank, ': clock now=', now
      flush (6)
      ! Everybody has the same, whatever it is.
      call MPI_Allreduce(state, first, 1_MPI_COUNT_KIND, MPI_INTEGER8, op, comm)
      state = mix(state, first)
      call MPI_Bcast(first, 1, MPI_INTEGER8, 0, comm)
    end if
  end do
  write (*, '(i0,a,i0)') rank, ': result seeded rounds=', rounds
  flush (6)
  call MPI_Request_free(requests(1))
  call MPI_Request_free(requests(2))
  call require(requests(1) == MPI_REQUEST_NULL, 'request')
  call MPI_Finalize()

contains

  ! A reading from outside; each round asks elsewhere.
  integer(long) function read_outside()
    integer :: day(8), seed_length
    integer, allocatable :: seed(:)
    real(8) :: seconds

    select case (mod(round, 4))
    case (0)
      call system_clock(read_outside)
    case (1)
      call random_seed()
      call random_seed(size=seed_length)
      allocate (seed(seed_length))
      call random_seed(get=seed)
      read_outside = seed(1)
    case (2)
      call date_and_time(values=day)
      read_outside = day(8) + 1000 * day(7)
    case default
      seconds = MPI_Wtime()
      read_outside = transfer(seconds, read_outside)
    end select
  end function

  ! As in common.h; the compiler is told that integers wrap.
  integer(long) function mix(state, value)
    integer(long), intent(in) :: state, value
    mix = ieor(state, value) * factor
    mix = ieor(mix, shiftr(mix, 29))
  end function

  subroutine require(holds, what)
    logical, intent(in) :: holds
    character(len=*), intent(in) :: what
    if (holds) return
    write (0, *) rank, ': wrong: ', what
    call MPI_Abort(MPI_COMM_WORLD, 3)
  end subroutine
end program
