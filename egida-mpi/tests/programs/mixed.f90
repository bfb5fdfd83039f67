! One rank, with a part in C: handles, statuses and the addresses that stand for none are the same on both sides.

program mixed
  use mpi
  implicit none
  integer :: ierror, sent, got, status(MPI_STATUS_SIZE)
  integer, external :: count_in_c, is_ignored_in_c, duplicate_in_c
  integer :: comm, outcome

  call MPI_Init(ierror)
  sent = 11
  call MPI_Sendrecv(sent, 1, MPI_INTEGER, 0, 4, got, 1, MPI_INTEGER, 0, 4, MPI_COMM_WORLD, status, ierror)
  call require(count_in_c(status, MPI_INTEGER) == 1, 'count')
  call require(status(MPI_TAG) == 5, 'tag from C')
  call require(is_ignored_in_c(MPI_STATUS_IGNORE, MPI_STATUSES_IGNORE) == 1, 'ignored')
  call require(is_ignored_in_c(status, status) == 0, 'not ignored')
  comm = duplicate_in_c(MPI_COMM_SELF)
  call MPI_Comm_compare(comm, MPI_COMM_SELF, outcome, ierror)
  call require(outcome == MPI_CONGRUENT, 'communicator')
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
