! The master and workers of workers.c with the module mpi: which worker gets which task is a choice, the sum of all answers
! is not. The lines are those of common.h.
!
!   fortran_mpi [tasks per worker]

program workers
  use mpi
  implicit none
  integer, parameter :: long = selected_int_kind(18), request = 1, task = 2
  ! 0x9E3779B97F4A7C15
  integer(long), parameter :: factor = -7046029254386353131_long
  integer :: rank, ranks, ierror, per_worker
  character(len=32) :: argument

  call MPI_Init(ierror)
  call MPI_Comm_rank(MPI_COMM_WORLD, rank, ierror)
  call MPI_Comm_size(MPI_COMM_WORLD, ranks, ierror)
  per_worker = 40
  call get_command_argument(1, argument)
  if (argument /= ' ') read (argument, *) per_worker
  if (rank == 0) then
    call be_master()
  else
    call be_worker()
  end if
  ! Nobody leaves early: a schedule may want to kill a rank whose own work is done.
  call MPI_Barrier(MPI_COMM_WORLD, ierror)
  call MPI_Finalize(ierror)

contains

  ! Requests are {seq, worker's state, answer to the task before}; tasks are {number, master's state}.
  subroutine be_master()
    integer(long) :: state, total, expected, note(3), number, answer
    integer :: turns, turn, from, worker, words
    integer :: status(MPI_STATUS_SIZE)

    state = mix(0_long, int(rank + 1, long))
    total = 0
    turns = per_worker * (ranks - 1)
    do turn = 0, turns - 1
      from = MPI_ANY_SOURCE
      if (mod(turn, 3) == 2) then
        call MPI_Probe(MPI_ANY_SOURCE, request, MPI_COMM_WORLD, status, ierror)
        call MPI_Get_count(status, MPI_INTEGER8, words, ierror)
        call require(words == 3, 'words')
        from = status(MPI_SOURCE)
      end if
      call MPI_Recv(note, 3, MPI_INTEGER8, from, request, MPI_COMM_WORLD, status, ierror)
      from = status(MPI_SOURCE)
      total = total + note(3)
      number = turn
      state = mix(mix(mix(mix(mix(state, number), int(from, long)), note(1)), int(request, long)), note(2))
      write (*, '(i0,a,i0,a,i0,a,i0,a,i0,a,z16.16,a,z16.16)') rank, ': match n=', number, ' from=', from, ' seq=', note(1), &
        ' tag=', request, ' value=', note(2), ' state=', state
      flush (6)
      call MPI_Send([number, state], 2, MPI_INTEGER8, from, task, MPI_COMM_WORLD, ierror)
    end do
    do worker = 1, ranks - 1
      call MPI_Recv(answer, 1, MPI_INTEGER8, worker, task, MPI_COMM_WORLD, MPI_STATUS_IGNORE, ierror)
      total = total + answer
    end do
    expected = 0
    do turn = 0, turns - 1
      expected = expected + answer_to(int(turn, long))
    end do
    call require(total == expected, 'total')
    write (*, '(i0,a,i0,a,i0)') rank, ': result workers tasks=', turns, ' sum=', total
    flush (6)
  end subroutine

  subroutine be_worker()
    ! A row of a matrix: not contiguous, so that the compiler copies it for the call.
    integer(long) :: notes(2, 3), got(2), state, answer
    integer :: seq

    state = mix(0_long, int(rank + 1, long))
    answer = 0
    notes = -1
    do seq = 0, per_worker - 1
      notes(2, :) = [int(seq, long), state, answer]
      call MPI_Send(notes(2, :), 3, MPI_INTEGER8, 0, request, MPI_COMM_WORLD, ierror)
      call MPI_Recv(got, 2, MPI_INTEGER8, 0, task, MPI_COMM_WORLD, MPI_STATUS_IGNORE, ierror)
      write (*, '(i0,a,i0,a,i0,a,z16.16,a,i0)') rank, ': told to=0 seq=', seq, ' tag=', request, ' value=', state, ' n=', got(1)
      flush (6)
      answer = answer_to(got(1))
      state = mix(mix(state, got(1)), got(2))
    end do
    call MPI_Send(answer, 1, MPI_INTEGER8, 0, task, MPI_COMM_WORLD, ierror)
    write (*, '(i0,a,i0)') rank, ': result workers asked=', per_worker
    flush (6)
  end subroutine

  integer(long) function answer_to(number)
    integer(long), intent(in) :: number
    answer_to = mod(shiftr(mix(number, 42_long), 1), 1000003_long)
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
    call MPI_Abort(MPI_COMM_WORLD, 3, ierror)
  end subroutine
end program
