! Ranks on a ring in FORTRAN 77 with mpif.h: halos of every second element by a vector type and non-blocking calls, a
! reduction in place, one by a function of the program on the two halves of the ranks, and a broadcast of what came of them.
! All numbers are integers, and each rank knows them all: one legal result.
!
!   fortran_include [rounds]

      program ring
      implicit none
      include 'mpif.h'
      integer cells
      parameter (cells=64)
      integer rounds, round, ierror, rank, ranks, half, halves
      integer left, right, halo, op, i, all_ranks, chosen, expected
      integer requests(4), statuses(MPI_STATUS_SIZE,4), counted
      integer field(cells), from_left(cells/2), from_right(cells/2)
      integer sums(2), mine(3), best(3)
      character*32 argument
      external keep_larger

      call MPI_INIT(ierror)
      call MPI_COMM_RANK(MPI_COMM_WORLD, rank, ierror)
      call MPI_COMM_SIZE(MPI_COMM_WORLD, ranks, ierror)
      rounds = 20
      call getarg(1, argument)
      if (argument .ne. ' ') read (argument, *) rounds
      right = mod(rank + 1, ranks)
      left = mod(rank + ranks - 1, ranks)
      halves = (ranks + 1) / 2

      call MPI_TYPE_VECTOR(cells / 2, 1, 2, MPI_INTEGER, halo, ierror)
      call MPI_TYPE_COMMIT(halo, ierror)
      call MPI_OP_CREATE(keep_larger, .true., op, ierror)
      call MPI_COMM_SPLIT(MPI_COMM_WORLD, rank / halves, -rank, half,
     &                    ierror)
      do round = 1, rounds
         do i = 1, cells
            field(i) = 1000 * rank + round + i
         end do
         call MPI_IRECV(from_left, cells / 2, MPI_INTEGER, left, round,
     &                  MPI_COMM_WORLD, requests(1), ierror)
         call MPI_IRECV(from_right, cells / 2, MPI_INTEGER, right,
     &                  round, MPI_COMM_WORLD, requests(2), ierror)
         call MPI_ISEND(field(2), 1, halo, right, round,
     &                  MPI_COMM_WORLD, requests(3), ierror)
         call MPI_ISEND(field(1), 1, halo, left, round,
     &                  MPI_COMM_WORLD, requests(4), ierror)
         call MPI_WAITALL(4, requests, statuses, ierror)
         call require(statuses(MPI_SOURCE,1) .eq. left, 'source', rank)
         call MPI_GET_COUNT(statuses(1,2), MPI_INTEGER, counted, ierror)
         call require(counted .eq. cells / 2, 'count', rank)
         do i = 1, cells / 2
            call require(from_left(i) .eq. 1000 * left + round + 2 * i,
     &                   'left halo', rank)
            call require(from_right(i) .eq.
     &                   1000 * right + round + 2 * i - 1, 'right halo',
     &                   rank)
         end do

         sums(1) = from_left(1)
         sums(2) = rank
         call MPI_ALLREDUCE(MPI_IN_PLACE, sums, 2, MPI_INTEGER, MPI_SUM,
     &                      MPI_COMM_WORLD, ierror)
         all_ranks = ranks * (ranks - 1) / 2
         call require(sums(2) .eq. all_ranks .and. sums(1) .eq.
     &                1000 * all_ranks + ranks * (round + 2), 'sum',
     &                rank)

         do i = 1, 3
            mine(i) = mod(7 * rank + 5 * round + 3 * i, 11)
         end do
         call MPI_ALLREDUCE(mine, best, 3, MPI_INTEGER, op, half,
     &                      ierror)
         do i = 1, 3
            call require(best(i) .ge. mine(i), 'largest', rank)
         end do
         chosen = best(1) * 100 + best(2)
         call MPI_BCAST(chosen, 1, MPI_INTEGER, mod(round, ranks),
     &                  MPI_COMM_WORLD, ierror)
         expected = chosen
         call MPI_BCAST(expected, 1, MPI_INTEGER, 0, MPI_COMM_WORLD,
     &                  ierror)
         call require(chosen .eq. expected, 'chosen', rank)
         if (mod(round, 5) .eq. 0) then
            write (*, '(i0,a,i0,a,i0,a,i0)') rank,
     &         ': result include round=', round, ' sum=', sums(1),
     &         ' chosen=', chosen
            call flush(6)
         end if
      end do
      call MPI_COMM_FREE(half, ierror)
      call MPI_OP_FREE(op, ierror)
      call MPI_TYPE_FREE(halo, ierror)
      call MPI_FINALIZE(ierror)
      end

      subroutine keep_larger(left, right, length, datatype)
      implicit none
      include 'mpif.h'
      integer length, datatype, left(length), right(length), i, ierror
      if (datatype .ne. MPI_INTEGER) then
         call MPI_ABORT(MPI_COMM_WORLD, 3, ierror)
      end if
      do i = 1, length
         right(i) = max(left(i), right(i))
      end do
      end

      subroutine require(holds, what, rank)
      implicit none
      include 'mpif.h'
      logical holds
      character*(*) what
      integer rank, ierror
      if (.not. holds) then
         write (0, *) rank, ': wrong: ', what
         call MPI_ABORT(MPI_COMM_WORLD, 3, ierror)
      end if
      end
