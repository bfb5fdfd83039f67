! One rank, with derived types: handles, statuses, large counts, and no error codes.

module handlers
  use mpi_f08
  implicit none
  type(MPI_Comm) :: noted = MPI_COMM_NULL
contains
  subroutine note_error(comm, error_code)
    type(MPI_Comm) :: comm
    integer :: error_code
    noted = comm
  end subroutine
end module

program f08
  use mpi_f08
  use handlers
  use, intrinsic :: iso_c_binding
  implicit none
  integer :: ierror, index, count, old(MPI_STATUS_SIZE), size
  integer(kind=MPI_COUNT_KIND) :: large
  integer, target :: buffer(1000)
  integer :: from(5), to(5)
  logical :: flag
  type(MPI_Request) :: requests(2)
  type(MPI_Status) :: status, again
  type(MPI_Errhandler) :: handler
  type(c_ptr) :: attached

  call MPI_Init()
  call MPI_Initialized(flag)
  call require(flag, 'initialized')
  call require(MPI_COMM_WORLD /= MPI_COMM_SELF .and. MPI_INTEGER == MPI_INTEGER, 'handles')
  call require(MPI_COMM_WORLD%MPI_VAL == 257, 'value')

  from = [1, 2, 3, 4, 5]
  to = 0
  requests(1) = MPI_REQUEST_NULL
  call MPI_Irecv(to, 5, MPI_INTEGER, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_SELF, requests(2))
  call MPI_Send(from, 5_MPI_COUNT_KIND, MPI_INTEGER, 0, 9, MPI_COMM_SELF)
  call MPI_Waitany(2, requests, index, status)
  call require(index == 2 .and. requests(2) == MPI_REQUEST_NULL, 'waitany')
  call require(status%MPI_SOURCE == 0 .and. status%MPI_TAG == 9, 'status')
  call MPI_Get_count(status, MPI_INTEGER, count)
  call MPI_Get_count(status, MPI_INTEGER, large)
  call require(count == 5 .and. large == 5 .and. all(to == from), 'count')
  call MPI_Status_f082f(status, old)
  call require(old(MPI_TAG) == 9, 'to an array')
  call MPI_Status_f2f08(old, again)
  call MPI_Get_elements(again, MPI_INTEGER, count)
  call require(count == 5, 'and back')

  call MPI_Buffer_attach(buffer, 4000)
  call MPI_Bsend(from, 1, MPI_INTEGER, 0, 1, MPI_COMM_SELF)
  call MPI_Recv(to, 1, MPI_INTEGER, 0, 1, MPI_COMM_SELF, MPI_STATUS_IGNORE)
  call MPI_Buffer_detach(attached, size)
  call require(size == 4000 .and. c_associated(attached, c_loc(buffer)), 'buffer')

  to = 0
  call MPI_Psend_init(from, 5, 1, MPI_INTEGER, 0, 3, MPI_COMM_SELF, MPI_INFO_NULL, requests(1))
  call MPI_Precv_init(to, 1, 5_MPI_COUNT_KIND, MPI_INTEGER, 0, 3, MPI_COMM_SELF, MPI_INFO_NULL, requests(2))
  call MPI_Startall(2, requests)
  call MPI_Pready_range(0, 2, requests(1))
  call MPI_Pready(3, requests(1))
  call MPI_Parrived(requests(2), 0, flag)
  call require(.not. flag, 'four of five partitions')
  call MPI_Pready_list(1, [4], requests(1))
  call MPI_Parrived(requests(2), 0, flag)
  call require(flag .and. all(to == from), 'partitions')
  call MPI_Waitall(2, requests, MPI_STATUSES_IGNORE)
  call MPI_Request_free(requests(1))
  call MPI_Request_free(requests(2))

  call MPI_Comm_create_errhandler(note_error, handler)
  call MPI_Comm_set_errhandler(MPI_COMM_SELF, handler)
  call MPI_Errhandler_free(handler)
  call MPI_Send(from, 1, MPI_INTEGER, 8, 1, MPI_COMM_SELF, ierror)
  call require(ierror == MPI_ERR_RANK .and. noted == MPI_COMM_SELF, 'handler')
  call MPI_Finalize(ierror)
  call require(ierror == MPI_SUCCESS, 'end')
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
