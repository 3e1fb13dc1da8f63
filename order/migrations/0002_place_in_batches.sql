-- Orders are placed many at a time: tickets are taken before the orders are written, and a ticket that is taken leaves
-- the other orders of the batch alone. All rows of an order are written by the transaction that writes the order and
-- never removed apart from it, so a look-up of the order for each of them finds nothing that it could refuse.

ALTER TABLE order_line DROP CONSTRAINT order_line_order_id_fkey;
ALTER TABLE order_hold DROP CONSTRAINT order_hold_order_id_fkey;
ALTER TABLE order_ticket DROP CONSTRAINT order_ticket_order_id_fkey;
ALTER TABLE order_transition DROP CONSTRAINT order_transition_order_id_fkey;
