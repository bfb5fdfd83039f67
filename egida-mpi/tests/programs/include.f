! One rank: addresses that stand for something, texts, functions of MPI-1, an error handler, requests of which one is told.

      program include
      implicit none
      include 'mpif.h'
      integer ierror, length, index, requests(3), status(8), numbers(4)
      integer indices(3), statuses(8,3), complete, extent, pair
      integer lengths(2)
      integer displacements(2), types(2), handler, class
      integer(kind=MPI_ADDRESS_KIND) address, bottom
      logical flag
      character*12 short
      character*(MPI_MAX_ERROR_STRING) text
      character*(MPI_MAX_OBJECT_NAME) name
      external note_error
      integer noted
      common /notes/ noted
      double precision then

      call MPI_INIT(ierror)
      then = MPI_WTIME()
      call require(MPI_WTIME() .ge. then, 'clock')

!     Texts are padded, and cut where they do not fit.
      call MPI_COMM_SET_NAME(MPI_COMM_SELF, '  nobody else  ', ierror)
      call MPI_COMM_GET_NAME(MPI_COMM_SELF, name, length, ierror)
      call require(name .eq. 'nobody else', 'name')
      call require(length .eq. 11, 'length')
      call MPI_ERROR_STRING(MPI_ERR_RANK, text, length, ierror)
      call MPI_ERROR_STRING(MPI_ERR_RANK, short, length, ierror)
      call require(text(1:12) .eq. short, 'cut')

!     MPI_BOTTOM is the origin of addresses, MPI_IN_PLACE is the other buffer.
      call MPI_GET_ADDRESS(MPI_BOTTOM, bottom, ierror)
      call require(bottom .eq. 0, 'bottom')
      call MPI_GET_ADDRESS(numbers, address, ierror)
      call require(address .ne. 0, 'address')
      numbers(1) = 5
      call MPI_ALLREDUCE(MPI_IN_PLACE, numbers, 1, MPI_INTEGER, MPI_SUM,
     &                   MPI_COMM_WORLD, ierror)
      call require(numbers(1) .eq. 5, 'in place')

!     Indices count from 1, and MPI_UNDEFINED stays.
      numbers(1) = 7
      requests(1) = MPI_REQUEST_NULL
      call MPI_IRECV(numbers(2), 1, MPI_INTEGER, 0, 1, MPI_COMM_SELF,
     &               requests(2), ierror)
      requests(3) = MPI_REQUEST_NULL
      call MPI_TESTANY(3, requests, index, flag, status, ierror)
      call require(.not. flag .and. index .eq. MPI_UNDEFINED, 'testany')
      call MPI_SEND(numbers(1), 1, MPI_INTEGER, 0, 1, MPI_COMM_SELF,
     &              ierror)
      call MPI_WAITANY(3, requests, index, status, ierror)
      call require(index .eq. 2 .and. numbers(2) .eq. 7, 'waitany')
      call require(status(MPI_TAG) .eq. 1, 'tag')
      call require(requests(2) .eq. MPI_REQUEST_NULL, 'null')
      call MPI_IRECV(numbers(3), 1, MPI_INTEGER, 0, 2, MPI_COMM_SELF,
     &               requests(3), ierror)
      call MPI_SEND(numbers(1), 1, MPI_INTEGER, 0, 2, MPI_COMM_SELF,
     &              ierror)
      call MPI_WAITSOME(3, requests, complete, indices,
     &                  MPI_STATUSES_IGNORE, ierror)
      call require(complete .eq. 1 .and. indices(1) .eq. 3, 'waitsome')
      call MPI_WAITSOME(3, requests, complete, indices, statuses,
     &                  ierror)
      call require(complete .eq. MPI_UNDEFINED, 'nothing left')

!     What MPI-1 had.
      lengths(1) = 1
      lengths(2) = 2
      displacements(1) = 0
      displacements(2) = 8
      types(1) = MPI_INTEGER
      types(2) = MPI_DOUBLE_PRECISION
      call MPI_TYPE_STRUCT(2, lengths, displacements, types, pair,
     &                     ierror)
      call MPI_TYPE_COMMIT(pair, ierror)
      call MPI_TYPE_EXTENT(pair, extent, ierror)
      call require(extent .eq. 24, 'extent')
      call MPI_TYPE_FREE(pair, ierror)
      call require(pair .eq. MPI_DATATYPE_NULL, 'freed')
      call MPI_ATTR_GET(MPI_COMM_WORLD, MPI_TAG_UB, numbers(4), flag,
     &                  ierror)
      call require(flag .and. numbers(4) .ge. 32767, 'tag limit')

!     An error handler is called, and the error is returned.
      noted = 0
      call MPI_ERRHANDLER_CREATE(note_error, handler, ierror)
      call MPI_ERRHANDLER_SET(MPI_COMM_SELF, handler, ierror)
      call MPI_SEND(numbers, 1, MPI_INTEGER, 3, 1, MPI_COMM_SELF,
     &              ierror)
      call MPI_ERROR_CLASS(ierror, class, length)
      call require(class .eq. MPI_ERR_RANK, 'class')
      call require(noted .eq. MPI_COMM_SELF, 'noted')
      call MPI_FINALIZE(ierror)
      print '(a)', 'good'
      end

      subroutine note_error(comm, code)
      implicit none
      integer comm, code, noted
      common /notes/ noted
      noted = comm
      end

      subroutine require(holds, what)
      implicit none
      logical holds
      character*(*) what
      if (.not. holds) then
         print *, 'wrong: ', what
         stop 3
      end if
      end
