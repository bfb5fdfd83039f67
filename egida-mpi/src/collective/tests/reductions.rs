//! Collectives that combine data.

use super::world::{Area, DOUBLE, INT, data, fold, int_types, matrix_product, matrix_types, predefined, run};
use crate::collective::{
    Peers, allreduce, exscan, reduce, reduce_local, reduce_scatter, reduce_scatter_block, scan,
};
use crate::datatype::{Datatype, class};
use crate::op::Op;

const SUM: usize = 0x21;

/// What is reduced: exact arithmetic, so that the naive order of the oracle gives the same.
fn cases() -> Vec<(Datatype, Op)> {
    let sums = int_types().into_iter().map(|datatype| (datatype, Op::predefined(SUM).unwrap()));
    let products = matrix_types().into_iter().map(|datatype| {
        let op = matrix_product(&datatype);
        (datatype, op)
    });
    let located = (predefined(0x22c), Op::predefined(0x38).unwrap());
    sums.chain(products).chain([located]).collect()
}

/// Numbers of elements: none, few, and enough for the algorithms that divide the data.
fn counts(datatype: &Datatype) -> [i64; 4] {
    [0, 1, 7, (34 << 10) / datatype.size() as i64]
}

fn operand(datatype: &Datatype, count: i64, rank: usize) -> Vec<u8> {
    data(count as usize * datatype.size(), rank)
}

fn for_each_case(test: impl Fn(usize, &Datatype, &Op, i64, &[Vec<u8>])) {
    for size in 1..=9 {
        for (datatype, op) in cases() {
            for count in counts(&datatype) {
                let operands: Vec<_> = (0..size).map(|rank| operand(&datatype, count, rank)).collect();
                test(size, &datatype, &op, count, &operands);
            }
        }
    }
}

#[test]
fn reduce_combines_in_rank_order_at_the_root() {
    for_each_case(|size, datatype, op, count, operands| {
        let expected = Area::holding(datatype, count, 0, &fold(op, datatype, operands));
        let roots = (0..size).filter(|root| count < 10 || [0, 1, size - 1].contains(root));
        for (root, in_place) in roots.flat_map(|root| [(root, false), (root, true)]) {
            run(size, |peers| {
                let rank = peers.rank();
                let own = Area::holding(datatype, count, 0, &operands[rank]);
                if rank != root {
                    reduce(peers, root, Some(own.source(count)), None, op).unwrap();
                    return own.assert_same(&Area::holding(datatype, count, 0, &operands[rank]), "input");
                }
                let mut result = Area::new(datatype, count);
                if in_place {
                    result.put(0, &operands[rank]);
                }
                let send = (!in_place).then(|| own.source(count));
                reduce(peers, root, send, Some(result.target(count)), op).unwrap();
                result.assert_same(&expected, "reduce");
            });
        }
    });
}

#[test]
fn allreduce_combines_in_rank_order_everywhere() {
    for_each_case(|size, datatype, op, count, operands| {
        let expected = Area::holding(datatype, count, 0, &fold(op, datatype, operands));
        for in_place in [false, true] {
            run(size, |peers| {
                let own = Area::holding(datatype, count, 0, &operands[peers.rank()]);
                let mut result = Area::new(datatype, count);
                if in_place {
                    result.put(0, &operands[peers.rank()]);
                }
                let send = (!in_place).then(|| own.source(count));
                allreduce(peers, send, result.target(count), op).unwrap();
                result.assert_same(&expected, "allreduce");
            });
        }
    });
}

#[test]
fn scan_combines_the_ranks_up_to_each() {
    for_each_case(|size, datatype, op, count, operands| {
        let mut up_to = operands.to_vec();
        for rank in 1..size {
            up_to[rank] = fold(op, datatype, &[up_to[rank - 1].clone(), operands[rank].clone()]);
        }
        for in_place in [false, true] {
            run(size, |peers| {
                let rank = peers.rank();
                let own = Area::holding(datatype, count, 0, &operands[rank]);
                let input = if in_place { operands[rank].clone() } else { vec![] };

                let mut result = Area::holding(datatype, count, 0, &input);
                let send = (!in_place).then(|| own.source(count));
                scan(peers, send, result.target(count), op).unwrap();
                result.assert_same(&Area::holding(datatype, count, 0, &up_to[rank]), "scan");

                let mut result = Area::holding(datatype, count, 0, &input);
                let send = (!in_place).then(|| own.source(count));
                exscan(peers, send, result.target(count), op).unwrap();
                let expected = if rank == 0 { &input } else { &up_to[rank - 1] };
                result.assert_same(&Area::holding(datatype, count, 0, expected), "exscan");
            });
        }
    });
}

#[test]
fn reduce_scatter_leaves_each_rank_its_block() {
    for size in 1..=9usize {
        for (datatype, op) in cases() {
            for (unit, even) in [(0, true), (1, true), (3, false), (400, true), (400, false)] {
                let counts: Vec<i32> =
                    (0..size).map(|rank| if even { unit } else { unit * ((rank as i32 + 1) % 3) }).collect();
                let total = i64::from(counts.iter().sum::<i32>());
                let operands: Vec<_> = (0..size).map(|rank| operand(&datatype, total, rank)).collect();
                let all = fold(&op, &datatype, &operands);
                for in_place in [false, true] {
                    run(size, |peers| {
                        let rank = peers.rank();
                        let before = counts[..rank].iter().sum::<i32>() as usize * datatype.size();
                        let own = &all[before..before + counts[rank] as usize * datatype.size()];
                        let room = if in_place { total } else { i64::from(counts[rank]) };
                        let fill = if in_place { operands[rank].clone() } else { vec![] };
                        let input = Area::holding(&datatype, total, 0, &operands[rank]);
                        let mut expected = Area::holding(&datatype, room, 0, &fill);
                        expected.put(0, own);

                        let mut result = Area::holding(&datatype, room, 0, &fill);
                        let send = (!in_place).then(|| input.source(total));
                        reduce_scatter(peers, send, result.target(room), &counts, &op).unwrap();
                        result.assert_same(&expected, "reduce_scatter");
                        if even {
                            let mut result = Area::holding(&datatype, room, 0, &fill);
                            let send = (!in_place).then(|| input.source(total));
                            reduce_scatter_block(peers, send, result.target(room), unit.into(), &op).unwrap();
                            result.assert_same(&expected, "reduce_scatter_block");
                        }
                    });
                }
            }
        }
    }
}

/// Sums of doubles depend on the brackets: every reduction must use the same.
#[test]
fn the_bits_of_a_sum_depend_on_nothing_but_the_data() {
    let double = predefined(DOUBLE);
    let sum = Op::predefined(SUM).unwrap();
    let value = |rank: usize, element: usize| {
        (rank as f64 + 0.1) * 10f64.powi(((rank * 5 + element) % 31) as i32 - 15)
    };
    for size in 2..=9usize {
        // Many elements take other algorithms than one.
        let many = 8192usize;
        let operand = |rank: usize| -> Vec<u8> {
            (0..many).flat_map(|element| value(rank, element).to_ne_bytes()).collect()
        };
        let results = run(size, |peers| {
            let own = Area::holding(&double, many as i64, 0, &operand(peers.rank()));
            let mut large = Area::new(&double, many as i64);
            allreduce(peers, Some(own.source(many as i64)), large.target(many as i64), &sum).unwrap();
            let large = large.packed();

            for root in 0..size {
                let mut at_root = Area::new(&double, many as i64);
                let receive = (peers.rank() == root).then(|| at_root.target(many as i64));
                reduce(peers, root, Some(own.source(many as i64)), receive, &sum).unwrap();
                if peers.rank() == root {
                    assert!(at_root.packed() == large, "reduce at {root} of {size}");
                }
                let mut at_root = Area::new(&double, 31);
                let receive = (peers.rank() == root).then(|| at_root.target(31));
                reduce(peers, root, Some(own.source(31)), receive, &sum).unwrap();
                if peers.rank() == root {
                    assert!(at_root.packed() == large[..31 * 8], "small reduce at {root} of {size}");
                }
            }
            let mut small = Area::new(&double, 31);
            allreduce(peers, Some(own.source(31)), small.target(31), &sum).unwrap();
            assert!(small.packed() == large[..31 * 8], "small allreduce of {size}");

            let each = many / size;
            let mut part = Area::new(&double, each as i64);
            let input = own.source((each * size) as i64);
            reduce_scatter_block(peers, Some(input), part.target(each as i64), each as i64, &sum).unwrap();
            let start = peers.rank() * each * 8;
            assert!(part.packed() == large[start..start + each * 8], "reduce_scatter of {size}");
            large
        });
        assert!(results.iter().all(|result| *result == results[0]));
    }
}

#[test]
fn a_reduction_that_is_not_defined_sends_nothing() {
    let sum = Op::predefined(SUM).unwrap();
    run(2, |peers| {
        let mut area = Area::new(&predefined(0x247), 4);
        let error = allreduce(peers, None, area.target(4), &sum).unwrap_err();
        assert_eq!(error.class(), Some(class::OP));
        assert_eq!(error.to_string(), "`MPI_SUM` is not defined on `MPI_BYTE`");
        assert_eq!(peers.messages_sent, 0);
    });
}

#[test]
fn reduce_local_combines_into_the_second() {
    for datatype in matrix_types() {
        let op = matrix_product(&datatype);
        let operands = [operand(&datatype, 3, 1), operand(&datatype, 3, 2)];
        let input = Area::holding(&datatype, 3, 0, &operands[0]);
        let mut inout = Area::holding(&datatype, 3, 0, &operands[1]);
        reduce_local(input.source(3), inout.target(3), &op).unwrap();
        inout.assert_same(&Area::holding(&datatype, 3, 0, &fold(&op, &datatype, &operands)), "reduce_local");
    }
    let int = predefined(INT);
    let (input, mut inout) = (Area::new(&int, 2), Area::new(&int, 1));
    let error = reduce_local(input.source(2), inout.target(1), &Op::predefined(SUM).unwrap()).unwrap_err();
    assert_eq!(error.class(), Some(class::TRUNCATE));
}
